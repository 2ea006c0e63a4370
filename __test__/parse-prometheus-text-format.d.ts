declare module 'parse-prometheus-text-format' {
  /** Reads Prometheus' text exposition format; values stay text. */
  export default function parse(text: string): {
    name: string
    type: string
    help: string
    metrics: { labels: Record<string, string>; value: string }[]
  }[]
}
