import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { interfaceNumber } from './scripts/interface.mjs'

const sourceOf = (name: string) => fileURLToPath(new URL(`./src/${name}.ts`, import.meta.url))

/**
 * Tests name the package as users do and get its source; __test__/packaging tests what is built from it. An addon that was
 * built before the source's interface changed is refused.
 */
export default defineConfig({
  define: { PINFETCH_INTERFACE: JSON.stringify(interfaceNumber()) },
  resolve: { alias: { 'pinfetch/formats': sourceOf('formats'), pinfetch: sourceOf('index') } },
  test: {
    testTimeout: 30_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'tests',
          include: ['__test__/**/*.test.ts'],
          exclude: [
            '**/node_modules/**', // some packages of the tools have their own tests with them
            '__test__/**/*.{peers,install,runtimes,platforms,memory}.test.ts',
          ],
        },
      },
      ...['peers', 'install', 'runtimes', 'platforms', 'memory'].map((name) => ({
        extends: true as const,
        test: { name, include: [`__test__/**/*.${name}.test.ts`] },
      })),
    ],
  },
})
