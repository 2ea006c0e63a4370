// A page of one file: its style, script and data are in it, and its policy lets it load nothing.

import { createHash } from 'node:crypto'
import type { Page } from './model.js'
import style from './page/page.css'
import script from './page/page.ts?page'

/** The page as HTML. */
export function htmlOf(page: Page): string {
  const policy = [
    "default-src 'none'",
    `style-src ${digestOf(style)}`,
    `script-src ${digestOf(script)}`,
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ')
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>${escapeHtml(`Pins: ${page.source}`)}</title>
<style>${style}</style>
</head>
<body>
<noscript><p>This page shows ${page.hosts.length} hosts by a script of its own: let it run.</p></noscript>
<script type="application/json" id="data">${escapeJson(JSON.stringify(page))}</script>
<script>${script}</script>
</body>
</html>
`
}

/** As a Content-Security-Policy names what may be there, and nothing else. */
function digestOf(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}

/** JSON that no HTML parser finds an end or a comment in. */
function escapeJson(json: string): string {
  return json.replace(/[<>&\u2028\u2029]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}
