export const PLATFORM_NAMES: string[]
export function nodeOf(platform: string): string
export function addonOf(platform: string): string
