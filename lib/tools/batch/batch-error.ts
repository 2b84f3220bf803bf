/** What trying again cannot mend, such as an input of the wrong form. */
export class BatchError extends Error {}
