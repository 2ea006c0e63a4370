import { fetch } from 'undici'
import { carryOut, planOfArguments } from '../plan.ts'
import { pinnedAgent } from './pinned-agent.ts'

const plan = planOfArguments()
const dispatcher = pinnedAgent(plan)
const url = `https://${plan.hostname}:${plan.port}${plan.path}`
await carryOut(plan, async () => {
  const response = await fetch(url, { dispatcher })
  return (await response.text()).length
})
await dispatcher.close()
