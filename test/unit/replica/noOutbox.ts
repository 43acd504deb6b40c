/** Events of an outbox that is not used. */
export const noOutbox = {
  queued: (): void => undefined,
  replayed: (): void => undefined,
  unknown: (): void => undefined,
  drained: (): void => undefined,
  changed: (): void => undefined,
};
