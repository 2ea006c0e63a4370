// A survey as commands run it.

import { PolicyError, type PolicyFile } from '../../index.js'
import { FileError } from '../exit.js'
import { onFirstInterrupt } from '../interrupt.js'
import { showProgress } from '../progress.js'
import type { SurveyOptions } from './options.js'
import type { SurveyedHost } from './record.js'
import { Survey } from './survey.js'

/** More hosts than this are worth a bar. */
const FEW = 32

/** The survey of an environment's hosts. */
export function surveyOf(
  file: PolicyFile,
  name: string,
  environment: string | undefined,
  options: SurveyOptions,
): Survey {
  try {
    return new Survey({ ...options, policy: file.in(environment) })
  } catch (cause) {
    throw FileError.of(name, cause)
  }
}

/** Runs it with progress where there is much to do, and until SIGINT at most. */
export async function runSurvey(
  survey: Survey,
  name: string,
  isQuiet: boolean,
): Promise<{ hosts: SurveyedHost[]; isInterrupted: boolean }> {
  const { stderr } = process
  const hide =
    isQuiet || survey.size <= FEW
      ? () => {}
      : await showProgress({ tally: survey, inputs: survey }, stderr, stderr.isTTY === true)
  let isInterrupted = false
  const settle = onFirstInterrupt(() => {
    isInterrupted = true
    survey.stop()
  })
  try {
    return { hosts: await survey.run(), isInterrupted }
  } catch (cause) {
    // what the file asks of the client, such as certificates to trust
    throw cause instanceof PolicyError ? FileError.of(name, cause) : cause
  } finally {
    settle()
    hide()
  }
}
