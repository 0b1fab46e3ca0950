//! Accuracy and span F1.

/// Share of equal entries, in percent; 100 for no entries.
pub fn accuracy(predicted: &[usize], expected: &[usize]) -> f64 {
    let equal = predicted.iter().zip(expected).filter(|(p, e)| p == e).count();
    percent(equal, expected.len())
}

/// The 95 % interval of a share of which `right` of `all` were seen, in percent (Wilson 1927).
pub fn interval(right: usize, all: usize) -> (f64, f64) {
    const DEVIATIONS: f64 = 1.96;
    let (n, share) = (all as f64, right as f64 / all as f64);
    let squared = DEVIATIONS * DEVIATIONS / n;
    let middle = share + squared / 2.0;
    let half = DEVIATIONS * (share * (1.0 - share) / n + squared / (4.0 * n)).sqrt();
    (100.0 * (middle - half) / (1.0 + squared), 100.0 * (middle + half) / (1.0 + squared))
}

/// A labelled span of words: type, first word, one past the last.
pub(crate) type Span<'a> = (&'a str, usize, usize);

/// Counts of spans over many sentences, as in the CoNLL-2000 evaluation: a span is right if type and both ends are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanCounts {
    /// Spans predicted.
    pub predicted: usize,
    /// Spans in the reference.
    pub expected: usize,
    /// Spans in both.
    pub correct: usize,
}

impl SpanCounts {
    /// Takes in a sentence: BIO tags of its words, predicted and expected.
    pub fn add<'a>(&mut self, predicted: &[&'a str], expected: &[&'a str]) {
        let (predicted, expected) = (spans(predicted), spans(expected));
        self.correct += predicted.iter().filter(|span| expected.contains(span)).count();
        self.predicted += predicted.len();
        self.expected += expected.len();
    }

    /// Harmonic mean of precision and recall, in percent.
    pub fn f1(&self) -> f64 {
        percent(2 * self.correct, self.predicted + self.expected)
    }
}

fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 { 100.0 } else { 100.0 * part as f64 / whole as f64 }
}

/// The spans of BIO tags. A span starts at `B-x`, and at an `I-x` that does not continue one of type `x`.
pub(crate) fn spans<'a>(tags: &[&'a str]) -> Vec<Span<'a>> {
    let mut spans = Vec::new();
    let mut open: Option<(&str, usize)> = None;
    for (index, tag) in tags.iter().copied().chain(["O"]).enumerate() {
        let (mark, kind) = tag.split_once('-').unwrap_or((tag, ""));
        let continues = mark == "I" && open.is_some_and(|(open, _)| open == kind);
        if !continues {
            if let Some((kind, start)) = open.take() {
                spans.push((kind, start, index));
            }
            if mark != "O" {
                open = Some((kind, index));
            }
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_follow_the_conll_rules() {
        assert_eq!(
            spans(&["O", "B-a", "I-a", "B-a", "O", "I-b", "I-c", "I-c"]),
            [("a", 1, 3), ("a", 3, 4), ("b", 5, 6), ("c", 6, 8)]
        );
        assert!(spans(&[]).is_empty());
        assert!(spans(&["O", "O"]).is_empty());
    }

    #[test]
    fn f1_counts_whole_spans() {
        let mut counts = SpanCounts::default();
        counts.add(&["B-a", "I-a", "O", "B-b"], &["B-a", "O", "O", "B-b"]);
        counts.add(&["O"], &["B-c"]);
        assert_eq!(counts, SpanCounts { predicted: 2, expected: 3, correct: 1 });
        assert_eq!(counts.f1(), 40.0);
    }

    #[test]
    fn intervals_are_those_of_published_tables() {
        // Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3.
        for (right, all, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)]
        {
            let (least, most) = interval(right, all);
            assert!(
                (least - 100.0 * low).abs() < 0.006 && (most - 100.0 * high).abs() < 0.006,
                "{least} {most}"
            );
        }
    }

    #[test]
    fn accuracy_is_in_percent() {
        assert_eq!(accuracy(&[1, 2, 3, 4], &[1, 2, 0, 0]), 50.0);
        assert_eq!(accuracy(&[], &[]), 100.0);
    }
}
