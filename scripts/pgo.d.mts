export function compiler(): { rustc: string; host: string; llvm: string }
export function profileOf(triple: string): { data: string; note: string }
export function manifestsDigest(): string
export function flagsOf(triple: string, targetFolder?: string): string[]
export function withFlags(flags: string[], env?: NodeJS.ProcessEnv): NodeJS.ProcessEnv
export const COUNTED: string[]
