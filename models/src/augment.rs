//! Noise on training sentences. None of it changes the network that is exported.

use std::collections::BTreeMap;

use rand::Rng;
use rand::seq::IndexedRandom;

use crate::batch::Sentence;
use crate::metrics::spans;

/// How much noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Noise {
    /// Probability that one hash of a word is dropped.
    pub hash_dropout: f64,
    /// Probability that a word is dropped whole (its place and its tag stay).
    pub word_dropout: f64,
    /// Probability that a tagged span is replaced by another of the same type.
    pub span_swap: f64,
    /// Probability that the sentence starts later than at the first position.
    pub shift: f64,
}

/// The spans of the training sentences by type, for swapping.
pub struct SpanPool {
    n: usize,
    /// Type -> bins of its spans, `[words][n]` each.
    spans: BTreeMap<String, Vec<Vec<u16>>>,
    /// Type -> classes of its first and of its further words.
    tags: BTreeMap<String, (Option<usize>, Option<usize>)>,
}

impl SpanPool {
    /// Collects the spans of sentences with BIO tags; `labels` are the names of the tags.
    pub fn new<'a>(
        n: usize,
        labels: &[String],
        sentences: impl IntoIterator<Item = (&'a Sentence, &'a [usize])>,
    ) -> Self {
        let mut pool = Self { n, spans: BTreeMap::new(), tags: BTreeMap::new() };
        let class = |name: String| labels.iter().position(|label| *label == name);
        for (sentence, target) in sentences {
            let tags: Vec<&str> = target.iter().map(|&class| labels[class].as_str()).collect();
            for (kind, start, end) in spans(&tags) {
                let Some(bins) = sentence.bins.get(start * n..end * n) else {
                    continue;
                };
                if let Some(list) = pool.spans.get_mut(kind) {
                    list.push(bins.to_vec());
                } else {
                    pool.spans.insert(kind.to_string(), vec![bins.to_vec()]);
                    let tags = (class(format!("B-{kind}")), class(format!("I-{kind}")));
                    pool.tags.insert(kind.to_string(), tags);
                }
            }
        }
        pool
    }

    /// The sentence with each span replaced with probability `p`, and its new tags.
    fn swap(
        &self,
        sentence: &Sentence,
        target: &[usize],
        labels: &[String],
        p: f64,
        rng: &mut impl Rng,
    ) -> (Sentence, Vec<usize>) {
        let names: Vec<&str> = target.iter().map(|&class| labels[class].as_str()).collect();
        let (mut bins, mut tags) = (Vec::new(), Vec::new());
        let mut word = 0;
        for (kind, start, end) in spans(&names) {
            bins.extend_from_slice(&sentence.bins[word * self.n..start * self.n]);
            tags.extend_from_slice(&target[word..start]);
            let other = rng.random_bool(p).then(|| self.spans.get(kind)?.choose(rng)).flatten();
            match (other, self.tags.get(kind)) {
                // A type that has no continuation tag only takes single words.
                (Some(other), Some(&(Some(first), rest))) if rest.is_some() || other.len() == self.n => {
                    bins.extend_from_slice(other);
                    tags.push(first);
                    let more = other.len() / self.n - 1;
                    tags.extend(rest.into_iter().cycle().take(more));
                }
                _ => {
                    bins.extend_from_slice(&sentence.bins[start * self.n..end * self.n]);
                    tags.extend_from_slice(&target[start..end]);
                }
            }
            word = end;
        }
        bins.extend_from_slice(&sentence.bins[word * self.n..]);
        tags.extend_from_slice(&target[word..]);
        (Sentence { bins }, tags)
    }
}

/// A training sentence after noise.
pub struct Noisy {
    /// Bins, `[words][n]`, `None` where dropped; leading words may be absent.
    pub bins: Vec<Option<u16>>,
    /// The target, one class, or one a word that is still inside `length`.
    pub target: Vec<usize>,
    /// Words before the first one of the sentence.
    pub shift: usize,
}

impl Noise {
    /// Applies the noise. `pool` and `labels` are for tagged sentences; without a pool the target is one class.
    pub fn apply(
        &self,
        sentence: &Sentence,
        target: &[usize],
        pool: Option<(&SpanPool, &[String])>,
        (n, length): (usize, usize),
        rng: &mut impl Rng,
    ) -> Noisy {
        let (sentence, mut target) = match pool {
            Some((pool, labels)) => pool.swap(sentence, target, labels, self.span_swap, rng),
            None => (sentence.clone(), target.to_vec()),
        };
        let words = (sentence.bins.len() / n).min(length);
        if pool.is_some() {
            target.truncate(words);
        }
        let shift = if rng.random_bool(self.shift) { rng.random_range(0..=length - words) } else { 0 };
        let mut bins = vec![None; shift * n];
        for word in sentence.bins.chunks_exact(n).take(words) {
            let dropped = rng.random_bool(self.word_dropout);
            bins.extend(
                word.iter().map(|&bin| (!dropped && !rng.random_bool(self.hash_dropout)).then_some(bin)),
            );
        }
        Noisy { bins, target, shift }
    }
}
