//! In what form weights are stored: what is asked for, layer by layer.

use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::graph::Node;

/// In what form the weights of a layer are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightForm {
    /// A byte each.
    #[default]
    Int8,
    /// Four bits each. Weights of a float model are rounded to as many; stated ones must fit.
    Int4,
    /// A bitmap of those that are not zero, and a byte for each of them, where that takes fewer bytes than one each.
    Sparse,
    /// The smallest of these that holds the same integers.
    Auto,
}

/// A form for some layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightRule {
    /// The form.
    pub form: WeightForm,
    /// Name of the layers, in which `*` stands for anything; none for all.
    pub layers: Option<String>,
}

impl FromStr for WeightRule {
    type Err = String;

    /// `FORM` or `FORM:NAME`.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (form, layers) = match text.split_once(':') {
            Some((form, layers)) => (form, Some(layers.to_owned())),
            None => (text, None),
        };
        let form = match form {
            "int8" => WeightForm::Int8,
            "int4" => WeightForm::Int4,
            "sparse" => WeightForm::Sparse,
            "auto" => WeightForm::Auto,
            _ => return Err("expected int8, int4, sparse or auto, alone or in front of :NAME".into()),
        };
        Ok(Self { form, layers })
    }
}

/// The last of `rules` that is about `node`; int8 without one.
pub(super) fn rule_of(rules: &[WeightRule], node: &Node) -> WeightRule {
    let about = |rule: &&WeightRule| rule.layers.as_ref().is_none_or(|layers| matches(layers, &node.name));
    let found = rules.iter().rev().find(about).cloned();
    found.unwrap_or(WeightRule { form: WeightForm::Int8, layers: None })
}

/// Fails for a rule that is about none of the layers.
pub(super) fn check_names<'a>(
    rules: &[WeightRule],
    mut layers: impl Iterator<Item = &'a Node> + Clone,
) -> Result<()> {
    for name in rules.iter().filter_map(|rule| rule.layers.as_deref()) {
        if !layers.clone().any(|node| matches(name, &node.name)) {
            let example = layers.next().map_or("", |node| &node.name);
            return Err(Error::new(
                ErrorKind::Usage,
                "--weights",
                format!("no layer with weights is called {name}"),
            )
            .hint(format!(
                "`mixel inspect` lists the names, of which one is {example}; * stands for anything"
            )));
        }
    }
    Ok(())
}

/// Whether `name` is `pattern`, in which every `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            let ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            ends.into_iter().any(|at| matches(tail, &rest[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, name) in
            [("a", "a"), ("*", ""), ("/l*/MatMul", "/l1/x/MatMul"), ("a*b*c", "abbc"), ("*é", "aé")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "ab"), ("a*c", "ab"), ("", "a"), ("*b", "bc")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn rules_are_read() {
        let rule = |form, layers: Option<&str>| WeightRule { form, layers: layers.map(str::to_owned) };
        assert_eq!("int4".parse(), Ok(rule(WeightForm::Int4, None)));
        assert_eq!("sparse:a:b*".parse(), Ok(rule(WeightForm::Sparse, Some("a:b*"))));
        assert!("int5".parse::<WeightRule>().is_err());
    }
}
