/** The default detector, and who was taken for dead by it. */
import type { FailureDetector } from '../../../lib/failure/failureDetector.js';
import { phiAccrual } from '../../../lib/failure/phiAccrual.js';

export interface WatchedDetector extends FailureDetector {
  /**
   * Whether the last word of any monitor was `dead`, said in this very turn. Asked from within `peer:unreachable`, which
   * follows a conviction at once: whether this node closed the link because of its own opinion, or somebody else did.
   */
  convicting(): boolean;
}

/**
 * {@link phiAccrual} with its defaults, listened to. A mesh that doubts itself asks too, and acts on nothing: a verdict alone
 * is no conviction.
 */
export function watchedDetector(): WatchedDetector {
  const inner = phiAccrual();
  let dead: object | undefined;
  return {
    kind: inner.kind,
    monitor: (now, options) => {
      const monitor = inner.monitor(now, options);
      return {
        heard: (at) => {
          dead = undefined;
          monitor.heard(at);
        },
        heartbeat: (at, seq, stalledMs) => {
          dead = undefined;
          monitor.heartbeat(at, seq, stalledMs);
        },
        judge: (at) => {
          const verdict = monitor.judge(at);
          const mark = verdict === 'dead' ? {} : undefined;
          dead = mark;
          if (mark !== undefined)
            queueMicrotask(() => {
              if (dead === mark) dead = undefined;
            });
          return verdict;
        },
        excuse: (ms, at) => monitor.excuse(ms, at),
        phi: (at) => monitor.phi(at),
      };
    },
    convicting: () => dead !== undefined,
  };
}
