export type { BadPinEvent, BadPinHandler, BadPinRequest } from './bad-pin.js'
export { defaultBadPinHandler } from './bad-pin.js'
export type { BodyInit } from './body.js'
export type {
  CloseOptions,
  ProbeOptions,
  ProbeVerdict,
  ServerPinsOptions,
} from './client.js'
export { Client } from './client.js'
export type { TlsFacts } from './connection.js'
export type { Cookie, ForeignCookieJar, SerializedCookieJar } from './cookies.js'
export { CookieJar } from './cookies.js'
export type { Coverage, HostCoverage } from './coverage.js'
export type {
  BadPinMessage,
  ConnectionCloseMessage,
  ConnectionFacts,
  ConnectionOpenMessage,
  HandshakeMessage,
  PolicyExpiryMessage,
  PolicyFaultMessage,
  PolicySwapMessage,
  RequestCreateMessage,
  RequestErrorMessage,
  RequestFacts,
  RequestResponseMessage,
  UnpinnedMessage,
} from './diagnostics.js'
export type { EngineOptions } from './engine.js'
export { configureEngine } from './engine.js'
export type {
  BadPinReport,
  CutOff,
  Diagnosis,
  DiagnosisReason,
  ErrorCode,
  PolicyLocation,
  PolicyPlace,
} from './errors.js'
export {
  AbortError,
  BadPinError,
  CertificateError,
  ConnectError,
  DnsError,
  PinfetchError,
  PolicyError,
  ProtocolError,
  ProxyError,
  TimeoutError,
  TlsError,
} from './errors.js'
export type { FetchAllOptions, FetchAllResult } from './fetch-all.js'
export { Headers } from './headers.js'
export type { Http2Options, KeepAliveOptions } from './http2-options.js'
export type { LivePolicyEvents, LivePolicyListener } from './live-policy.js'
export { LivePolicy, PolicySwapEvent } from './live-policy.js'
export type { LogFacts, LogFunction, Logger, LogLevel } from './logger.js'
export type { LookupFunction } from './lookup.js'
export type { Metrics, PatternMetrics, PinMetrics, SoonestExpiry } from './metrics.js'
export { PROMETHEUS_TYPE, prometheusText } from './metrics.js'
export { describeInputs, versions } from './native.js'
export type { ClientOptions, LookupMap, RevocationListsInput } from './options.js'
export type { ServerPins } from './pending.js'
export type {
  CaSet,
  CaSetChange,
  CaSetLock,
  CaSetPin,
  CaSets,
  CaSetsInput,
} from './policy/ca-sets.js'
export { caSets, lockCaSets } from './policy/ca-sets.js'
export type { PinReport, ReportOptions } from './policy/report.js'
export { pinReport, Reporter } from './policy/report.js'
export type {
  PolicySignature,
  PolicySignatures,
  PolicyToSign,
  SigningKeyInput,
  VerifyPolicy,
} from './policy/signature.js'
export { parsePolicySignatures, signPolicy, verifyPolicySignatures } from './policy/signature.js'
export type { WatchedPolicyEvents, WatchOptions } from './policy/watch.js'
export { PolicyFaultEvent, WatchedPolicy } from './policy/watch.js'
export type {
  AnchorsInput,
  PinInput,
  PinPlace,
  PinRules,
  PinSetInput,
  PinsInForce,
  PinsInput,
  PolicyOptions,
} from './policy.js'
export { Policy, policyLookup } from './policy.js'
export type {
  EnvironmentOptions,
  FilePolicy,
  PolicyFileOptions,
  PolicyProblem,
  ReadOptions,
  Unpinned,
} from './policy-file/file.js'
export { PolicyFile, parsePolicy } from './policy-file/file.js'
export type {
  BlockedPin,
  PinPosition,
  PinRole,
  PolicyExpiry,
  PolicyPin,
  PolicyRequirement,
  PolicySet,
} from './policy-file/model.js'
export type { ProfileName } from './profile.js'
export type { HostRehearsal, Rehearsal, RehearsalReport } from './rehearsal.js'
export type {
  HeadersInit,
  Information,
  InformationHandler,
  RedirectMode,
  RequestInit,
  RequestInput,
  RequestLike,
  RetryOptions,
} from './request.js'
export type { Timings } from './response.js'
export { Response } from './response.js'
export type { PolicySwap, SwapOptions } from './swap.js'
export type { VerifyChainRequest, VerifyChainResult } from './verify.js'
export { verifyChain } from './verify.js'
export type { DescribedInput, PathCertificate, Phase, ProxyStats, Role } from './wire.js'
