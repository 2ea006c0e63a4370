// `pinfetch export`: a policy file in another program's format.

import { parseArgs } from 'node:util'
import { PolicyFile } from '../index.js'
import { exportPolicy } from '../policy/formats/formats.js'
import { readPolicyFile } from './arguments.js'
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
import { EXIT, FileError } from './exit.js'
import { print } from './output.js'

export const EXPORT_HELP = `Usage: pinfetch export [options] FORMAT FILE

Prints what a policy file says in another program's format. What the format cannot say is
told on stderr with its place in the policy file.

${FORMATS_HELP}
  --environment NAME    which environment of the policy file
  --out FILE            write to FILE, which is not there yet
  --force               write FILE even if it is there
  --host HOST           the host of a header (hpkp) or value (curl)
  --wildcard MEANING    what *. means in go: documented (one label, the default) or actual
                        (the name and all below)
  --strict              a loss is an error, and nothing is written
  --json                a line of JSON: the text and what there is to tell
  --help                show this
`

/** Runs `pinfetch export` with what follows on the command line; resolves to the exit code. */
export async function exportPins(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { ...CONVERSION_OPTIONS, environment: { type: 'string' } },
  })
  if (values.help) {
    await print(EXPORT_HELP)
    return EXIT.ok
  }
  const format = readFormat(positionals[0])
  const name = readFileName(positionals, 'the policy file')
  const { environment } = values
  const options = { ...readFormatOptions(format, values), environment }
  const shown = name === '-' ? 'stdin' : name
  // a file's lock is beside it: stdin has none
  const file = name === '-' ? await readFileFromStdin(shown) : await readPolicyFile(name)
  const conversion = located(shown, () => exportPolicy(format, file, options))
  return deliver(conversion, shown, format, values)
}

async function readFileFromStdin(shown: string): Promise<PolicyFile> {
  const text = await readText('-')
  try {
    return new PolicyFile(text, { file: shown })
  } catch (cause) {
    throw FileError.of(shown, cause)
  }
}
