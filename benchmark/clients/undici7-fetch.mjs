import * as undici from 'undici7'
import { carryOutWith } from './undici.mjs'

await carryOutWith(undici, undici.fetch)
