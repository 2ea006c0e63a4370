import { Client } from 'pinfetch'
import { carryOut, planOfArguments } from '../plan.ts'

const plan = planOfArguments()
const client = new Client({
  pins: { [plan.hostname]: [plan.pin] },
  ca: plan.ca,
  lookup: { [plan.hostname]: '127.0.0.1' },
  http2: plan.http2,
})
const url = `https://${plan.hostname}:${plan.port}${plan.path}`
await carryOut(plan, async () => {
  const response = await client.get(url)
  return (await response.text()).length
})
await client.close()
