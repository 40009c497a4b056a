/** Prometheus metrics: parsed samples, and rates and quantiles between two of them. */

const LINE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

/** The samples of one response of /metrics. */
export class Samples {
  constructor(text, at = performance.now() / 1000) {
    this.at = at;
    this.byName = new Map();
    for (const line of text.split("\n")) {
      const found = LINE.exec(line);
      if (line.startsWith("#") || found === null) continue;
      const labels = Object.fromEntries(
        [...(found[2] ?? "").matchAll(LABEL)].map(([, name, value]) => [name, value]),
      );
      if (!this.byName.has(found[1])) this.byName.set(found[1], []);
      this.byName
        .get(found[1])
        .push({ labels, value: found[3] === "+Inf" ? Infinity : Number(found[3]) });
    }
  }

  has(name) {
    return this.byName.has(name);
  }

  /** Return the sum of all series of a metric that a predicate accepts; 0 without any. */
  sum(name, accepts = () => true) {
    const series = this.byName.get(name) ?? [];
    return series
      .filter(({ labels }) => accepts(labels))
      .reduce((total, { value }) => total + value, 0);
  }

  /** Return the cumulative counts of a histogram by upper bound, all series together. */
  buckets(name, accepts = () => true) {
    const counts = new Map();
    for (const { labels, value } of this.byName.get(`${name}_bucket`) ?? []) {
      if (!accepts(labels)) continue;
      const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
      counts.set(bound, (counts.get(bound) ?? 0) + value);
    }
    return [...counts].sort(([a], [b]) => a - b);
  }
}

/** Two responses of /metrics: what has happened between them. A restart counts as nothing. */
export class Interval {
  constructor(before, after) {
    this.before = before;
    this.after = after;
    this.seconds = after.at - before.at;
  }

  increase(name, accepts) {
    return Math.max(0, this.after.sum(name, accepts) - this.before.sum(name, accepts));
  }

  rate(name, accepts) {
    return this.increase(name, accepts) / this.seconds;
  }

  /** Return the mean of what a histogram observed; NaN without observations. */
  mean(name, accepts) {
    const count = this.increase(`${name}_count`, accepts);
    return count > 0 ? this.increase(`${name}_sum`, accepts) / count : NaN;
  }

  /** Return a quantile, interpolated within its bucket as Prometheus does; NaN without observations. */
  quantile(name, share, accepts) {
    const earlier = new Map(this.before.buckets(name, accepts));
    const counts = this.after
      .buckets(name, accepts)
      .map(([bound, count]) => [bound, count - (earlier.get(bound) ?? 0)]);
    const total = counts.at(-1)?.[1] ?? 0;
    if (total <= 0) return NaN;
    const rank = share * total;
    let [lower, below] = [0, 0];
    for (const [bound, count] of counts) {
      if (count >= rank) {
        if (bound === Infinity) return lower;
        return lower + ((bound - lower) * (rank - below)) / (count - below);
      }
      [lower, below] = [bound, count];
    }
    return lower;
  }
}
