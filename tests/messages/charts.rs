//! Charts in a real browser, by its own fonts: no text meets another one or leaves the picture.
//! What it saw is kept as build output, to be looked at.

#[path = "../rules/charts/samples.rs"]
mod samples;

use std::path::{Path, PathBuf};
use std::process::Command;

use periodd::charts::{STYLE, Width};

use crate::mail::support::browser;

/// Writes into the page which texts meet, by the boxes that they really have.
const MEASURE: &str = "
const faults = [];
let texts = 0;
for (const svg of document.querySelectorAll('svg.chart')) {
  const frame = svg.getBoundingClientRect();
  const boxes = [...svg.querySelectorAll('text')].map(text => {
    const range = document.createRange();
    range.selectNodeContents(text);
    const box = text.getBoundingClientRect();
    return { said: text.textContent, left: box.left, right: box.right,
             top: box.top + 1, bottom: box.bottom - 1 };
  }).filter(box => box.said !== '');
  texts += boxes.length;
  const name = svg.parentElement.id;
  boxes.forEach((one, at) => {
    if (one.left < frame.left - 0.5 || one.right > frame.right + 0.5
        || one.top < frame.top - 1.5 || one.bottom > frame.bottom + 1.5)
      faults.push(`${name}: '${one.said}' leaves the picture`);
    for (const other of boxes.slice(at + 1))
      if (one.left < other.right && other.left < one.right
          && one.top < other.bottom && other.top < one.bottom)
        faults.push(`${name}: '${one.said}' meets '${other.said}'`);
  });
  if (document.documentElement.scrollWidth > innerWidth) faults.push('wider than the screen');
}
const result = document.createElement('pre');
result.id = 'result';
result.textContent = JSON.stringify({ texts, faults });
document.body.append(result);
";

fn directory() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("charts");
    std::fs::create_dir_all(&directory).expect("a directory for pictures");
    directory
}

/// All samples on a page of that width; returns the file and how high the page is at least.
fn page(width: u16) -> (PathBuf, f64) {
    let mut body = String::new();
    let mut high = 40.0;
    for (name, chart) in samples::all() {
        let chart = chart(Width::px(width));
        let svg = chart.svg.unwrap_or_else(|| "<p>as a table</p>".to_owned());
        let height = svg.split("height=\"").nth(1).and_then(|rest| rest.split('"').next());
        high += height.and_then(|height| height.parse().ok()).unwrap_or(20.0) + 75.0;
        let finding = periodd::text::escaped(&chart.finding);
        let heading = format!("<h2>{name}</h2><p>{finding}</p>");
        body.extend(["<figure id=\"", &name, "\">", &heading, &svg, "</figure>\n"]);
    }
    let file = directory().join(format!("{width}.html"));
    let document = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>charts</title><style>\
         {STYLE}\n:root {{ color-scheme: light dark }} \
         body {{ margin: 10px; font: 13px sans-serif; background: #fff; color: #222 }} \
         figure {{ margin: 0 0 28px; overflow-wrap: anywhere }} \
         h2 {{ font-size: 13px; margin: 0 }} p {{ margin: 2px 0 8px; max-width: {width}px }} \
         @media (prefers-color-scheme: dark) {{ body {{ background: #171b22; color: #ddd }} }}\
         </style><body>{body}<script>{MEASURE}</script></body></html>"
    );
    std::fs::write(&file, document).expect("the page is written");
    (file, high)
}

/// Runs the browser on a page; returns what it prints.
fn browse(page: &Path, width: u16, high: f64, arguments: &[String]) -> String {
    let profile = tempfile::tempdir().expect("a profile");
    let output = Command::new(browser())
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
        .args(["--disable-dev-shm-usage", "--no-first-run", "--force-color-profile=srgb"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--window-size={},{high:.0}", (width + 20).max(500)))
        .args(arguments)
        .arg(format!("file://{}", page.display()))
        .output()
        .expect("the browser runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn texts_do_not_meet_in_a_browser_either() {
    for width in [335, 720, 1_100] {
        let (page, high) = page(width);
        let dom = browse(&page, width, high, &["--dump-dom".to_owned()]);
        let (_, result) = dom.split_once("<pre id=\"result\">").expect("the script ran");
        let result = result.split("</pre>").next().expect("its end").replace("&amp;", "&");
        let result: serde_json::Value = serde_json::from_str(&result).expect("JSON");
        assert!(result["texts"].as_u64().expect("a number") > 100, "{result}");
        assert_eq!(result["faults"], serde_json::json!([]), "at {width}");
        for (name, scheme) in [("light", 1), ("dark", 0)] {
            let file = directory().join(format!("{width}-{name}.png"));
            let arguments = [
                format!("--blink-settings=preferredColorScheme={scheme}"),
                format!("--screenshot={}", file.display()),
            ];
            browse(&page, width, high, &arguments);
            assert!(file.exists(), "{}", file.display());
        }
    }
}
