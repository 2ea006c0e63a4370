export type { Conversion, ConversionRemark, FormatOptions } from './policy/formats/conversion.js'
export type { PolicyFormat } from './policy/formats/formats.js'
export { exportPolicy, importPolicy } from './policy/formats/formats.js'
