/** A protocol whose cores are changed in part: to listen to them, or to break them in a test. */
import type { Consensus, CoreSetup } from '../../consensus/consensus.js';
import type { ConsensusOption } from '../../replica/consensus.js';

/** What `change` answers takes the place of the core's own; `prepare` changes what a core starts from. */
export function alterCores(
  { name, wired: { protocol, codec } }: ConsensusOption,
  change: (core: Consensus, setup: CoreSetup) => Partial<Consensus>,
  prepare: (setup: CoreSetup) => CoreSetup = (setup) => setup,
): ConsensusOption {
  const create = (setup: CoreSetup): Consensus => {
    const core = protocol.create(prepare(setup));
    const changed = change(core, setup);
    return new Proxy(core, {
      get(target, key) {
        const own = changed[key as keyof Consensus];
        if (own !== undefined) return own;
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
  };
  return { name, wired: { protocol: { ...protocol, create }, codec } };
}
