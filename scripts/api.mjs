// `npm run api`: writes what the package's declarations say down in api/, where a review sees a change of it.
// `node scripts/api.mjs --check` compares dist/ with that, and fails where it differs.
import { fileURLToPath } from 'node:url'
import { Extractor, ExtractorConfig } from '@microsoft/api-extractor'

process.chdir(fileURLToPath(new URL('..', import.meta.url)))
const isCheck = process.argv.includes('--check')
for (const entry of ['index', 'formats']) {
  const config = ExtractorConfig.loadFileAndPrepare(`api/${entry}.json`)
  const { apiReportChanged, errorCount } = Extractor.invoke(config, {
    localBuild: !isCheck,
    messageCallback(message) {
      message.handled = true // what is to be said of a difference is said below
      if (message.logLevel === 'error') console.error(message.text)
    },
  })
  if (errorCount > 0 || (isCheck && apiReportChanged)) process.exitCode = 1
  if (!apiReportChanged) continue
  console.log(
    isCheck
      ? `api/${entry}.api.md differs from the declarations: run npm run api, and say what changed in CHANGELOG.md`
      : `api/${entry}.api.md is written`,
  )
}
