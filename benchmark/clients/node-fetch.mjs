// The `fetch` that Node has built in. It pins through a dispatcher, whose major version is the built-in undici's.
import * as undici from 'undici7'
import { carryOutWith } from './undici.mjs'

await carryOutWith(undici, fetch)
