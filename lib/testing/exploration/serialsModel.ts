/** The serials machine as a sequential specification: one register a key. */
import type { Model } from '../linearizability/model.js';
import type { SerialInput } from './serials.js';

export const serialsModel: Model<number, SerialInput, { readonly serial: number } | undefined> = {
  init: () => 0,
  partition: (history) => {
    const keys = new Map<number, (typeof history)[number][]>();
    for (const operation of history) {
      const { key } = operation.input;
      const list = keys.get(key);
      if (list === undefined) keys.set(key, [operation]);
      else list.push(operation);
    }
    return [...keys.values()];
  },
  step: (state, input, output) => ({
    ok: output === undefined || output.serial === state,
    state: input.op === 'write' ? input.serial : state,
  }),
};
