import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PinfetchError } from './errors.js'

/** What there are packages for, by the names of the packages. */
export const PLATFORMS: readonly string[] = [
  'darwin-arm64',
  'darwin-x64',
  'linux-arm64-gnu',
  'linux-arm64-musl',
  'linux-x64-gnu',
  'linux-x64-musl',
  'win32-arm64-msvc',
  'win32-x64-msvc',
]

/** The version of the package, which the build puts here; sources that are run as they are have none. */
declare const PINFETCH_VERSION: string | undefined

/** The number of the interface that the code speaks, from scripts/interface.mjs; the addon has that of its own build. */
declare const PINFETCH_INTERFACE: string | undefined

/**
 * Loads the addon by the generated loader, which lies in the package's root: one folder above the source, or two above
 * the bundle.
 *
 * @throws {PinfetchError} `ERR_ADDON` that says which package was looked for, why it may be missing and what to do.
 */
export function loadAddon<Addon extends { versions(): string }>(): Addon {
  // the bundle is CommonJS and knows its file name; the source, run as a module by tests, has its URL instead
  const file = typeof __filename === 'string' ? __filename : fileURLToPath(import.meta.url)
  const above = join(dirname(file), '..')
  const near = join(above, 'native.cjs')
  const loader = existsSync(near) ? near : join(above, '..', 'native.cjs')
  if (!existsSync(loader)) throw misplaced(file)
  const require = createRequire(loader)
  let addon: Addon
  try {
    addon = require(loader)
  } catch (cause) {
    throw explained(require, cause)
  }
  const found = JSON.parse(addon.versions())
  if (typeof PINFETCH_VERSION === 'string' && found.pinfetch !== PINFETCH_VERSION)
    throw mismatched(found.pinfetch, PINFETCH_VERSION)
  if (typeof PINFETCH_INTERFACE === 'string' && found.interface !== PINFETCH_INTERFACE)
    throw ofOtherBuild(found, PINFETCH_INTERFACE)
  return addon
}

/** The package that has the addon for a Rust target: of `x86_64-unknown-linux-gnu`, `@pinfetch/native-linux-x64-gnu`. */
export function packageOfTarget(target: string): string {
  const [processor = '', , system = '', abi] = target.split('-')
  const names: Record<string, string> = { x86_64: 'x64', aarch64: 'arm64', windows: 'win32' }
  const [arch, platform] = [processor, system].map((name) => names[name] ?? name)
  return packageOf([platform, arch, ...(abi === undefined ? [] : [abi])].join('-'))
}

function misplaced(file: string): PinfetchError {
  return failure([
    `pinfetch cannot load its binary: the loader native.cjs is not in the package’s folder of ${file}.`,
    'A bundler has put pinfetch into a file of its own, or its files were copied one by one.',
    'Leave pinfetch out of the bundle (esbuild: --external:pinfetch; webpack: externals; Next.js: serverExternalPackages) ' +
      'and install it where the bundle runs.',
  ])
}

function explained(require: NodeJS.Require, cause: unknown): PinfetchError {
  const platform = platformName()
  const on = `on ${platform}, Node.js ${process.versions.node}`
  if (!PLATFORMS.includes(platform))
    return failure(
      [
        `pinfetch has no binary for this platform (${on}).`,
        `There are packages for ${PLATFORMS.join(', ')}.`,
        'Run Node.js for one of these, or build pinfetch from its sources (CONTRIBUTING.md).',
      ],
      cause,
    )
  const named = process.env.NAPI_RS_NATIVE_LIBRARY_PATH
  if (named)
    return failure(
      [
        `pinfetch cannot load ${named}, which NAPI_RS_NATIVE_LIBRARY_PATH names (${on}).`,
        'Without that variable the binary of the installed package is loaded.',
      ],
      cause,
    )
  const wanted = packageOf(platform)
  if (isInstalled(require, wanted)) {
    const reason = reasonOf(require, wanted) ?? cause
    return failure(
      [
        `pinfetch cannot load its binary: ${wanted} is installed, and the system refuses it (${on}).`,
        `It says: ${reason instanceof Error ? reason.message : String(reason)}`,
        'The file may be damaged, or its folder mounted without the right to execute, or the system older than pinfetch ' +
          'supports (Linux: glibc 2.17 or musl 1.2). Delete node_modules and install again.',
      ],
      reason,
    )
  }
  const others = PLATFORMS.filter((other) => isInstalled(require, packageOf(other)))
  return failure(
    [
      `pinfetch cannot find its binary: the package ${wanted} is not installed (${on}).`,
      ...(others.length > 0 ? elsewhere(platform, others) : omitted()),
    ],
    cause,
  )
}

/** Why the package may be missing where another platform's is there, and what to do. */
function elsewhere(platform: string, others: readonly string[]): string[] {
  const [system, processor] = platform.split('-')
  const isOtherLibc = others.some((other) => other.startsWith(`${system}-${processor}-`))
  return [
    `Installed is ${others.map(packageOf).join(' and ')}: ${
      isOtherLibc
        ? 'this node_modules is for the other C library. Alpine has musl, most other distributions glibc.'
        : 'this node_modules was made on another platform and copied, as Docker’s COPY, a shared folder or a cache do.'
    }`,
    'Install where it runs (npm ci), and keep node_modules out of what is copied (.dockerignore); or install for that platform: ' +
      'npm install --os --cpu --libc, or supportedArchitectures of pnpm and Yarn.',
  ]
}

/** Why no package of any platform may be there, and what to do. */
function omitted(): string[] {
  return [
    'It is an optional dependency of pinfetch. Optional dependencies were left out (--omit=optional, --no-optional, a setting ' +
      'in .npmrc), or the lock file was made on another platform and lists none for this one.',
    'Install again with them: npm install --include=optional. If that changes nothing, delete node_modules and the lock file first.',
  ]
}

function mismatched(found: string, expected: string): PinfetchError {
  return failure([
    `pinfetch ${expected} was given the binary of ${found} (${packageOf(platformName())}).`,
    'Both must be of one version: an override, a lock file edited by hand or a copied file gave another.',
    `Remove the override, delete node_modules and install again.`,
  ])
}

/** Of one version, and yet not of the same sources: records would be misread, or calls refused one by one. */
function ofOtherBuild(
  found: { pinfetch: string; interface?: string },
  expected: string,
): PinfetchError {
  return failure([
    `pinfetch ${found.pinfetch} was given the binary of another build: its interface is ${found.interface ?? 'unnumbered'}, ` +
      `and ${expected} is expected (${packageOf(platformName())}).`,
    'In a checkout, one was built before the sources changed: npm run build makes both anew.',
    'In an installation, a file was copied over another: delete node_modules and install again.',
  ])
}

function failure(lines: readonly string[], cause?: unknown): PinfetchError {
  return new PinfetchError(
    'ERR_ADDON',
    lines.join('\n'),
    cause === undefined ? undefined : { cause },
  )
}

function isInstalled(require: NodeJS.Require, name: string): boolean {
  try {
    require.resolve(`${name}/package.json`)
    return true
  } catch {
    return false
  }
}

/** What loading the package itself throws: the generated loader reports all that it tried besides. */
function reasonOf(require: NodeJS.Require, name: string): unknown {
  try {
    require(name)
    return undefined
  } catch (reason) {
    return reason
  }
}

function packageOf(platform: string): string {
  return `@pinfetch/native-${platform}`
}

/** As platform packages are called: `linux-x64-gnu`. */
function platformName(): string {
  const { platform, arch } = process
  if (platform === 'win32') return `win32-${arch}-msvc`
  if (platform !== 'linux') return `${platform}-${arch}`
  return `linux-${arch}-${isMusl() ? 'musl' : 'gnu'}`
}

function isMusl(): boolean {
  // Node reports the C library's version where it is glibc
  const report: unknown = process.report?.getReport()
  const header: unknown =
    typeof report === 'object' && report !== null ? Reflect.get(report, 'header') : undefined
  return (
    typeof header === 'object' && header !== null && !Reflect.get(header, 'glibcVersionRuntime')
  )
}
