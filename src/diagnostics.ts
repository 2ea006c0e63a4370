import { channel } from 'node:diagnostics_channel'
import type { BadPinEvent } from './bad-pin.js'
import type { Response } from './response.js'

/** The request that a message is about: credentials are taken out. */
export interface RequestFacts {
  readonly method: string
  readonly url: string
}

/** Published when a request is handed to the engine. */
export interface RequestCreateMessage {
  readonly request: RequestFacts
}

/** Published before a request's promise resolves. */
export interface RequestResponseMessage {
  readonly request: RequestFacts
  readonly response: Response
}

/** Published before a request's promise rejects. */
export interface RequestErrorMessage {
  readonly request: RequestFacts
  readonly error: unknown
}

/** Published for each request that is refused for its pins, before `onBadPin` is called. */
export type BadPinMessage = BadPinEvent

/** Every `node:diagnostics_channel` of pinfetch. Nothing is made for a channel without subscribers. */
export const channels = {
  /** {@link RequestCreateMessage} */
  requestCreate: channel('pinfetch:request:create'),
  /** {@link RequestResponseMessage} */
  requestResponse: channel('pinfetch:request:response'),
  /** {@link RequestErrorMessage} */
  requestError: channel('pinfetch:request:error'),
  /** {@link BadPinMessage} */
  badPin: channel('pinfetch:bad-pin'),
} as const
