/** A worker whose seeds stand for what can go wrong with a process. */
process.on('disconnect', () => process.exit(0));
process.on('message', ({ seed }: { readonly seed: number }) => {
  switch (seed) {
    case 0:
      process.send!({ outcome: { seed, hash: 'well' }, ms: 1 });
      break;
    case 1:
      for (;;);
    case 2:
      process.stderr.write('last words\n', () => process.exit(3));
      break;
    case 3:
      process.kill(process.pid, 'SIGKILL');
      break;
    default:
      process.send!({ broken: 'Error: it broke' }, () => process.exit(1));
  }
});
