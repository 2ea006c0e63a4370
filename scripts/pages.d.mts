import type { Plugin } from 'esbuild'

export const pages: Plugin
