// `pinfetch import`: other programs' pins as a policy file.

import { parseArgs } from 'node:util'
import { importPolicy } from '../policy/formats/formats.js'
import {
  CONVERSION_OPTIONS,
  deliver,
  FORMATS_HELP,
  located,
  readFileName,
  readFormat,
  readFormatOptions,
  readText,
} from './conversions.js'
import { EXIT } from './exit.js'
import { print } from './output.js'

export const IMPORT_HELP = `Usage: pinfetch import [options] FORMAT FILE

Reads pins in another program's format and prints a policy file that says the same. What it
cannot say, and what means something else, is told on stderr with its place.

${FORMATS_HELP}
  --out FILE            write the policy file to FILE, which is not there yet
  --force               write FILE even if it is there
  --host HOST           the host of a header (hpkp) or value (curl)
  --wildcard MEANING    what *. means in go: documented (one label, the default) or actual
                        (the name and all below)
  --strict              a loss is an error, and nothing is written
  --json                a line of JSON: the text and what there is to tell
  --help                show this
`

/** Runs `pinfetch import` with what follows on the command line; resolves to the exit code. */
export async function importPins(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: CONVERSION_OPTIONS,
  })
  if (values.help) {
    await print(IMPORT_HELP)
    return EXIT.ok
  }
  const format = readFormat(positionals[0])
  const name = readFileName(positionals, 'the file to read')
  const options = readFormatOptions(format, values)
  const text = await readText(name)
  const shown = name === '-' ? 'stdin' : name
  const conversion = located(shown, () => importPolicy(format, text, options))
  return deliver(conversion, shown, format, values)
}
