//! A report as one HTML file that opens offline: no scripts, no fonts, no pictures from elsewhere.
//!
//! A page takes the value that the command prints with `--json` and holds it whole, as `<script type="application/json">`
//! with the id `figures`, so that page and answer cannot differ.

use std::fmt::Write;

use serde_json::Value;

use super::grouped;
use crate::inspect::Inspection;

const STYLE: &str = "body{font:14px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#222}\
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.15rem .7rem;text-align:left;border-bottom:1px solid #ddd}\
.n{text-align:right;font-variant-numeric:tabular-nums}svg{display:block}.bad{color:#b00020;font-weight:600}\
.good{color:#1b7f3b;font-weight:600}.bar{fill:#3b6ea5}.low{fill:#b00020}";

/// Widest bar in pixels.
const BAR: f64 = 260.0;

/// `mixel profile`: time by operator, memory, the arena over time. `figures` is the command's JSON answer.
pub fn profile(model: &str, figures: &Value, facts: &Inspection) -> String {
    let unit = text(&figures["unit"]);
    let total = number(&figures["total"]);
    let mut page = Page::new(&format!("{model} on {}", text(&figures["board"])));
    page.summary(&[
        (unit.clone(), integer(&figures["total"])),
        ("MACs".into(), integer(&figures["macs"])),
        ("arena bytes".into(), integer(&figures["arena_bytes"])),
        ("stack bytes".into(), integer(&figures["stack_bytes"])),
        ("plan bytes".into(), integer(&figures["plan_bytes"])),
        ("firmware bytes without the plan".into(), integer(&figures["flash_bytes"])),
    ]);
    let ops = items(&figures["ops"]);
    let most = ops.iter().map(|op| number(&op["count"])).fold(1.0, f64::max);
    let rows = ops.iter().enumerate().map(|(index, op)| {
        let (count, macs) = (number(&op["count"]), number(&op["macs"]));
        let per_mac = if macs > 0.0 { format!("{:.2}", count / macs) } else { String::new() };
        vec![
            Cell::Number(index.to_string()),
            Cell::Text(text(&op["op"])),
            Cell::Text(text(&op["shape"])),
            Cell::Number(integer(&op["macs"])),
            Cell::Number(integer(&op["count"])),
            Cell::Number(format!("{:.1} %", 100.0 * count / total.max(1.0))),
            Cell::Number(per_mac),
            Cell::Bar { share: count / most, low: false },
            Cell::Text(text(&op["name"])),
        ]
    });
    page.table(
        "Time by operator",
        &["#", "operator", "output", "MACs", &unit, "share", "per MAC", "", "name"],
        rows,
    );
    page.arena(facts);
    page.finish(figures)
}

/// `mixel validate`: noise by operator, boards, the arena over time. `figures` is the command's JSON answer.
pub fn validation(model: &str, figures: &Value, facts: &Inspection) -> String {
    let mut page = Page::new(&format!("{model}: {}", text(&figures["verdict"])));
    page.summary(&[
        ("output, dB".into(), decimal(&figures["sqnr_db"])),
        ("at least, dB".into(), decimal(&figures["min_sqnr_db"])),
        ("same best class".into(), format!("{:.1} %", 100.0 * number(&figures["top1_agreement"]))),
        ("samples".into(), integer(&figures["samples"])),
        ("first operator below".into(), text(&figures["first_below"])),
    ]);
    let least = number(&figures["min_sqnr_db"]);
    let layers = items(&figures["layers"]);
    let most = layers.iter().filter_map(|layer| layer["sqnr_db"].as_f64()).fold(1.0, f64::max);
    let rows = layers.iter().enumerate().map(|(index, layer)| {
        let db = number(&layer["sqnr_db"]);
        let low = layer["sqnr_db"].is_number() && db < least;
        vec![
            Cell::Number(index.to_string()),
            Cell::Text(text(&layer["op"])),
            Cell::Number(decimal(&layer["sqnr_db"])),
            Cell::Bar { share: db.max(0.0) / most, low },
            Cell::Text(text(&layer["name"])),
        ]
    });
    page.table("Signal to quantization noise by operator", &["#", "operator", "dB", "", "name"], rows);
    let boards = items(&figures["boards"]);
    if !boards.is_empty() {
        let rows = boards.iter().map(|board| {
            let difference = &board["first_difference"];
            let at = if difference.is_object() {
                let (op, sample) = (integer(&difference["op"]), integer(&difference["sample"]));
                format!("operator {op} ({}) of sample {sample}", text(&difference["name"]))
            } else {
                String::new()
            };
            vec![
                Cell::Text(text(&board["board"])),
                Cell::Verdict(board["bit_equal"] == true, "bit-equal", "differs"),
                Cell::Text(at),
            ]
        });
        page.table("Boards against this machine", &["board", "all operators", "first difference"], rows);
    }
    page.arena(facts);
    page.finish(figures)
}

enum Cell {
    Text(String),
    Number(String),
    /// A bar of this share of the widest.
    Bar {
        share: f64,
        low: bool,
    },
    /// Whether it holds, and the words for yes and no.
    Verdict(bool, &'static str, &'static str),
}

struct Page(String);

impl Page {
    fn new(title: &str) -> Self {
        let title = escaped(title);
        Self(format!(
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n\
             <style>{STYLE}</style></head><body>\n<h1>{title}</h1>\n"
        ))
    }

    fn summary(&mut self, rows: &[(String, String)]) {
        self.0 += "<table>\n";
        for (name, value) in rows {
            let _ = writeln!(
                self.0,
                "<tr><th>{}</th><td class=\"n\">{}</td></tr>",
                escaped(name),
                escaped(value)
            );
        }
        self.0 += "</table>\n";
    }

    fn table(&mut self, title: &str, head: &[&str], rows: impl Iterator<Item = Vec<Cell>>) {
        let head: String = head.iter().map(|name| format!("<th>{}</th>", escaped(name))).collect();
        let _ = writeln!(self.0, "<h2>{}</h2>\n<table><tr>{head}</tr>", escaped(title));
        for row in rows {
            let cells: String = row.iter().map(Cell::html).collect();
            let _ = writeln!(self.0, "<tr>{cells}</tr>");
        }
        self.0 += "</table>\n";
    }

    /// Operators from left to right, bytes from the bottom up; every tensor, and the scratch memory.
    fn arena(&mut self, facts: &Inspection) {
        const HEIGHT: f64 = 320.0;
        const MARGIN: f64 = 70.0;
        let bytes = facts.arena_bytes.max(1) as f64;
        let step = (1000.0 / facts.ops.len().max(1) as f64).clamp(4.0, 40.0);
        let width = step * facts.ops.len() as f64;
        let _ = writeln!(
            self.0,
            "<h2>Arena over time</h2>\n<p>Operators from left to right, {} bytes from the bottom up; point at a tensor for its \
             name. Striped grey: scratch memory.</p>\n<svg width=\"{}\" height=\"{}\" role=\"img\">",
            grouped(facts.arena_bytes as u64),
            width + MARGIN + 10.0,
            HEIGHT + 30.0
        );
        let mut place = |offset: usize, size: usize, first: usize, last: usize, fill: &str, title: &str| {
            let height = size as f64 / bytes * HEIGHT;
            let top = HEIGHT - offset as f64 / bytes * HEIGHT - height;
            let (left, wide) = (MARGIN + first as f64 * step, (last + 1 - first) as f64 * step);
            let _ = writeln!(
                self.0,
                "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{wide:.1}\" height=\"{height:.1}\" fill=\"{fill}\" \
                 stroke=\"#fff\"><title>{}</title></rect>",
                escaped(title)
            );
        };
        for (index, region) in facts.arena.iter().enumerate() {
            // Neighbours differ: the golden angle goes around the circle of colours.
            let fill = format!("hsl({:.0} 55% 62%)", index as f64 * 137.5 % 360.0);
            let title = format!(
                "{}: {} bytes at {}, operators {} to {}",
                region.tensor, region.bytes, region.offset, region.first, region.last
            );
            place(region.offset, region.bytes, region.first, region.last, &fill, &title);
        }
        for (index, op) in facts.ops.iter().enumerate().filter(|(_, op)| op.scratch_bytes > 0) {
            let title = format!("scratch of {}: {} bytes", op.name, op.scratch_bytes);
            place(facts.scratch_offset, op.scratch_bytes, index, index, "#999", &title);
        }
        if facts.state_bytes > 0 {
            let offset = facts.arena_bytes - facts.state_bytes;
            let last = facts.ops.len().saturating_sub(1);
            place(offset, facts.state_bytes, 0, last, "#555", &format!("state: {} bytes", facts.state_bytes));
        }
        let _ = writeln!(
            self.0,
            "<path d=\"M{MARGIN} 0V{HEIGHT}H{}\" fill=\"none\" stroke=\"#222\"/><text x=\"0\" y=\"12\">{}</text>\
             <text x=\"0\" y=\"{HEIGHT}\">0</text><text x=\"{MARGIN}\" y=\"{}\">operator 0</text></svg>",
            MARGIN + width,
            grouped(facts.arena_bytes as u64),
            HEIGHT + 18.0
        );
    }

    fn finish(mut self, figures: &Value) -> String {
        // Inside a script element only `<` can do harm; JSON has another way to write it.
        let json = figures.to_string().replace('<', "\\u003c");
        self.0 += &format!(
            "<script type=\"application/json\" id=\"figures\">{json}</script>\n<p>mixel {}</p>\n</body></html>\n",
            env!("CARGO_PKG_VERSION")
        );
        self.0
    }
}

impl Cell {
    fn html(&self) -> String {
        match self {
            Cell::Text(text) => format!("<td>{}</td>", escaped(text)),
            Cell::Number(text) => format!("<td class=\"n\">{}</td>", escaped(text)),
            Cell::Bar { share, low } => {
                let class = if *low { "low" } else { "bar" };
                let width = share.clamp(0.0, 1.0) * BAR;
                format!(
                    "<td><svg width=\"{BAR}\" height=\"12\"><rect class=\"{class}\" width=\"{width:.1}\" \
                     height=\"12\"/></svg></td>"
                )
            }
            Cell::Verdict(true, yes, _) => format!("<td class=\"good\">{yes}</td>"),
            Cell::Verdict(false, _, no) => format!("<td class=\"bad\">{no}</td>"),
        }
    }
}

/// `text` with the characters that mean something to HTML written out: names come from files of others.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            other => out.push(other),
        }
    }
    out
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}

/// A whole number with commas.
fn integer(value: &Value) -> String {
    value.as_u64().map_or(String::new(), grouped)
}

fn decimal(value: &Value) -> String {
    value.as_f64().map_or("-".to_owned(), |value| format!("{value:.1}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The JSON value that a page holds.
    fn held(page: &str) -> Value {
        let (_, rest) = page.split_once("id=\"figures\">").unwrap();
        serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
    }

    const HOSTILE: &str = "</script><script>alert('x' & \"y\")</script>";

    #[test]
    fn a_profile_holds_the_figures_and_no_markup_of_names() {
        let figures = json!({
            "board": "b", "unit": "instructions", "total": 1_234_567, "macs": 4096, "arena_bytes": 3328,
            "stack_bytes": 1940, "plan_bytes": 51_999, "flash_bytes": 20_001,
            "ops": [
                { "name": HOSTILE, "op": "Linear", "macs": 4096, "count": 1_000_000, "shape": "1x4" },
                { "name": "gelu", "op": "Lut", "macs": 0, "count": 234_000, "shape": "1x4" },
            ],
        });
        let page = profile("m.mxl", &figures, &Inspection::default());
        assert_eq!(held(&page), figures);
        for shown in
            ["1,234,567", "4,096", "3,328", "1,940", "51,999", "20,001", "1,000,000", "81.0 %", "244.14"]
        {
            assert!(page.contains(&format!(">{shown}<")), "{shown}");
        }
        assert_eq!(page.matches("<script").count(), 1);
        assert!(page.contains("&lt;/script&gt;&lt;script&gt;alert(&#39;x&#39; &amp; &quot;y&quot;)"));
        // The longest bar is whole, nothing is fetched.
        assert!(page.contains(&format!("width=\"{BAR:.1}\" height=\"12\"")));
        assert!(!page.contains("http") && !page.contains("src="));
    }

    #[test]
    fn a_validation_marks_what_falls() {
        let figures = json!({
            "verdict": "fail", "sqnr_db": 12.25, "min_sqnr_db": 20.0, "top1_agreement": 0.5, "samples": 8,
            "first_below": "second",
            "layers": [
                { "name": "first", "op": "Conv", "sqnr_db": 40.0 },
                { "name": "second", "op": "Add", "sqnr_db": 12.25 },
                { "name": "none", "op": "Move", "sqnr_db": null },
            ],
            "boards": [{ "board": "x", "bit_equal": false, "first_difference": { "op": 3, "name": "n", "sample": 2 } }],
        });
        let page = validation("m.onnx", &figures, &Inspection::default());
        assert_eq!(held(&page), figures);
        assert_eq!((page.matches("class=\"low\"").count(), page.matches("class=\"bar\"").count()), (1, 2));
        for shown in ["12.2", "40.0", "50.0 %", "operator 3 (n) of sample 2", "differs"] {
            assert!(page.contains(shown), "{shown}");
        }
    }
}
