// For `node --import`: the process's clock is FAULT_CLOCK_MS ahead, or behind. What measures durations stays as it is.
const Real = globalThis.Date
const now = () => Real.now() + Number(process.env.FAULT_CLOCK_MS)

globalThis.Date = new Proxy(Real, {
  construct: (_, args, target) => Reflect.construct(Real, args.length === 0 ? [now()] : args, target),
  apply: () => new Real(now()).toString(),
  get: (_, key) => (key === 'now' ? now : Reflect.get(Real, key)),
})
