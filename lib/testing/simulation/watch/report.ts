/** Says that something does not hold. */
export type Report = (invariant: string, node: string, message: string) => void;
