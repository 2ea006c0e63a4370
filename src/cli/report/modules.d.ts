// What the build puts in place of these imports: see scripts/pages.mjs.

/** A browser's program, bundled, as text. */
declare module '*?page' {
  const text: string
  export default text
}

/** A style sheet, as text. */
declare module '*.css' {
  const text: string
  export default text
}
