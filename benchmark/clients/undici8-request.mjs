import * as undici from 'undici8'
import { carryOutWith } from './undici.mjs'

await carryOutWith(undici)
