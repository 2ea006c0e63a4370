import { request } from 'undici'
import { carryOut, planOfArguments } from '../plan.ts'
import { pinnedAgent } from './pinned-agent.ts'

const plan = planOfArguments()
const dispatcher = pinnedAgent(plan)
const url = `https://${plan.hostname}:${plan.port}${plan.path}`
await carryOut(plan, async () => {
  const { body } = await request(url, { dispatcher })
  return (await body.text()).length
})
await dispatcher.close()
