/** Runs of each property; a longer hunt sets the variable. */
export const RUNS = Number(process.env.IOMMUKIT_FUZZ_RUNS ?? 20_000);

/** Time for one property, in milliseconds: grows with the runs, so that a long hunt is not cut short. */
export const FUZZ_TIMEOUT = 60_000 + RUNS * 5;
