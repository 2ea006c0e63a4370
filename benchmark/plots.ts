import { createRequire } from 'node:module'
import type { Row } from './report.ts'

/** What `vega` and `vega-lite` are used for; they are installed in `benchmark/`, apart from the checkout's own. */
interface Vega {
  parse(spec: unknown): unknown
  View: new (runtime: unknown, options: { renderer: 'none' }) => { toSVG(): Promise<string> }
}
interface VegaLite {
  compile(spec: unknown): { spec: unknown }
}

const INK = { light: '#1f2328', dark: '#e6edf3' }

/** Bars of each client's figure by pinfetch's, a panel a test, as SVG for light and for dark pages. */
export async function plot(
  panels: readonly { title: string; rows: readonly Row[] }[],
): Promise<{ light: string; dark: string }> {
  const require = createRequire(`${process.cwd()}/benchmark/package.json`)
  // exactly these functions of the two packages are called
  const vega = (await import(require.resolve('vega'))) as Vega
  const lite = (await import(require.resolve('vega-lite'))) as VegaLite
  const draw = async (ink: string) => {
    const { spec } = lite.compile(specOf(panels, ink))
    return new vega.View(vega.parse(spec), { renderer: 'none' }).toSVG()
  }
  return { light: await draw(INK.light), dark: await draw(INK.dark) }
}

function specOf(panels: readonly { title: string; rows: readonly Row[] }[], ink: string): unknown {
  const text = { labelColor: ink, titleColor: ink, labelLimit: 240 }
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: 'transparent',
    config: {
      font: 'sans-serif',
      view: { stroke: null },
      title: { color: ink, anchor: 'start' },
      axis: { ...text, domain: false, ticks: false, gridColor: '#80808040' },
    },
    spacing: 24,
    vconcat: panels.map(({ title, rows }) => {
      const ours = rows.find(({ client }) => client.startsWith('pinfetch'))
      const values = rows.map(({ client, figure, ratio }) => ({
        client,
        times: ratio === null ? figure.median / (ours?.figure.median ?? 1) : 1 / ratio.median,
        kind: client.startsWith('pinfetch')
          ? 'ours'
          : client.startsWith('bare')
            ? 'limit'
            : 'other',
      }))
      const order = [...values].sort((a, b) => a.times - b.times).map(({ client }) => client)
      const y = { field: 'client', type: 'nominal', sort: order, title: null }
      return {
        title,
        data: { values },
        width: 420,
        layer: [
          {
            mark: { type: 'bar', height: { band: 0.7 } },
            encoding: {
              y,
              x: {
                field: 'times',
                type: 'quantitative',
                title: '× pinfetch (less is better)',
                axis: { tickCount: 5 },
              },
              color: {
                field: 'kind',
                type: 'nominal',
                legend: null,
                scale: {
                  domain: ['ours', 'limit', 'other'],
                  range: ['#2da44e', '#8c959f', '#4593e6'],
                },
              },
            },
          },
          {
            mark: { type: 'text', align: 'left', dx: 4, color: ink },
            encoding: {
              y,
              x: { field: 'times', type: 'quantitative' },
              text: { field: 'times', type: 'quantitative', format: '.2f' },
            },
          },
        ],
      }
    }),
  }
}
