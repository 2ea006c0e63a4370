export function interfaceNumber(): string
