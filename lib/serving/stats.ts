/** What a model has to do, and has done since it was loaded: see `NeuronBlip.stats`. Totals only grow. */
export interface NeuronBlipStats {
  /** Calls that no replica has begun with, those whose pictures are read and decoded included. */
  callsWaiting: number;
  /** Calls that a replica has begun with and that have not ended. */
  callsRunning: number;
  /** How many calls may wait: the option `maxQueueLength`. */
  maxQueueLength: number;
  /** Replicas in use, those that failed and are loaded again, and those that are out for good. */
  replicas: { inUse: number; reloading: number; givenUp: number };
  /** How often a replica was taken out of use, in total. */
  replicaFailures: number;
  /** When a batch ended last, with or without success, on the clock of performance.now(); undefined before the first has. */
  lastBatchEndedAt: number | undefined;
  /** Batches that have ended, in total: of pictures and of texts. */
  batches: number;
  /** Their rows, in total. */
  rows: number;
  /** Tokens of the answers and captions that were generated, in total, those of `alternatives` included. */
  generatedTokens: number;
  /** Pictures that were asked for and were there, or were being encoded, and those that were not, in total; what is kept now. */
  pictureCache: { hits: number; misses: number; pictures: number; bytes: number };
}
