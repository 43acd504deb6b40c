import { expect } from 'chai';
import { describe, it } from 'mocha';
import { TokenBucket, TokenBuckets } from '../../../lib/tokenBucket.js';

describe('a token bucket', () => {
  it('lets a burst pass, then says how long the debt lasts', () => {
    const bucket = new TokenBucket(100, 5, 1000);
    for (let i = 0; i < 5; i++) expect(bucket.take(1, 1000)).to.equal(0);
    expect(bucket.take(1, 1000)).to.equal(10);
    expect(bucket.take(2, 1000)).to.equal(30);
    expect(bucket.take(0, 1020)).to.equal(10);
    expect(bucket.take(0, 1030)).to.equal(0);
  });

  it('keeps no more than the burst, and takes a clock that stands still or goes back', () => {
    const bucket = new TokenBucket(100, 5, 0);
    expect(bucket.take(6, 1_000_000)).to.equal(10);
    expect(bucket.take(0, 999_000)).to.equal(10);
  });

  it('sinks no deeper for what it does not allow', () => {
    const bucket = new TokenBucket(10, 2, 0);
    expect(Array.from({ length: 100 }, () => bucket.allows(0)).filter(Boolean)).to.have.length(2);
    expect([bucket.allows(99), bucket.allows(100), bucket.allows(100)]).to.deep.equal([false, true, false]);
    expect([bucket.isFull(299), bucket.isFull(300)]).to.deep.equal([false, true]);
  });
});

describe('token buckets', () => {
  it('are one for each key, and no more than they must be', () => {
    const buckets = new TokenBuckets(10, 3);
    expect([0, 0, 0, 0].map((now) => buckets.allows('a', now))).to.deep.equal([true, true, true, false]);
    expect(buckets.allows('b', 0)).to.equal(true);
    expect(buckets.allows('a', 99)).to.equal(false);
    expect(buckets.allows('a', 100)).to.equal(true);
    expect(buckets.allows('a', 100)).to.equal(false);
    for (let i = 0; i < 5000; i++) expect(buckets.allows(`stranger ${i}`, 100)).to.equal(true);
  });

  it('forget those that are full before one that is not', () => {
    const buckets = new TokenBuckets(1, 1, 3);
    for (const key of ['a', 'b', 'c']) buckets.allows(key, 0);
    buckets.allows('a', 1000);
    buckets.allows('d', 1500); // b and c are full again
    expect(buckets.allows('a', 1500)).to.equal(false);
  });
});
