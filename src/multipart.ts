import { nodeCrypto } from './node-modules.js'

/** A form as `multipart/form-data`; files stay where they are until the body is read. */
export function multipart(form: FormData): { readonly blob: Blob; readonly type: string } {
  const boundary = `----pinfetch${nodeCrypto().randomBytes(16).toString('hex')}`
  const parts: (string | Blob)[] = []
  for (const [name, value] of form) {
    const head = `--${boundary}\r\nContent-Disposition: form-data; name="${escaped(withLineEnds(name))}"`
    if (typeof value === 'string') {
      parts.push(`${head}\r\n\r\n${withLineEnds(value)}\r\n`)
    } else {
      const type = value.type || 'application/octet-stream'
      const file = value.name ?? 'blob' // Bun gives a Blob without a name as it is, and not as the file that it is to be
      parts.push(
        `${head}; filename="${escaped(file)}"\r\nContent-Type: ${type}\r\n\r\n`,
        value,
        '\r\n',
      )
    }
  }
  parts.push(`--${boundary}--\r\n`)
  return { blob: new Blob(parts), type: `multipart/form-data; boundary=${boundary}` }
}

/** https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#escape-a-multipart-form-data-name */
function escaped(name: string): string {
  return name.replace(/\r/g, '%0D').replace(/\n/g, '%0A').replace(/"/g, '%22')
}

function withLineEnds(text: string): string {
  return text.replace(/\r\n|\r|\n/g, '\r\n')
}
