//! What an email looks like, in a real browser: light, dark and on a phone.

use std::path::{Path, PathBuf};
use std::process::Command;

use periodd::mail::samples;

use super::support::{TEMPLATES, browser, render};

/// A picture, as rows of colours.
struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<[u8; 3]>,
}

impl Picture {
    fn read(file: &Path) -> Self {
        let file = std::io::BufReader::new(std::fs::File::open(file).expect("a picture"));
        let mut reader = png::Decoder::new(file).read_info().expect("a PNG");
        let mut bytes = vec![0; reader.output_buffer_size().expect("a size")];
        let info = reader.next_frame(&mut bytes).expect("a frame");
        let step = info.color_type.samples();
        let pixels = bytes[..info.buffer_size()].chunks(step).map(|p| [p[0], p[1], p[2]]).collect();
        Self { width: info.width as usize, height: info.height as usize, pixels }
    }

    fn row(&self, y: usize) -> &[[u8; 3]] {
        &self.pixels[y * self.width..(y + 1) * self.width]
    }

    /// How bright it is on the whole, 0 to 255.
    fn brightness(&self) -> u64 {
        let sum: u64 = self.pixels.iter().flatten().map(|part| u64::from(*part)).sum();
        sum / (3 * self.pixels.len() as u64)
    }

    /// How many pixels of the row that has the most of a colour have it.
    fn longest(&self, colour: [u8; 3]) -> usize {
        let of = |y| self.row(y).iter().filter(|pixel| **pixel == colour).count();
        (0..self.height).map(of).max().unwrap_or(0)
    }

    /// Is there anything at the bottom but the page's background?
    fn is_cut_off(&self) -> bool {
        let last = self.row(self.height - 1);
        last.iter().any(|pixel| *pixel != last[0])
    }
}

fn directory() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("emails");
    std::fs::create_dir_all(&directory).expect("a directory for pictures");
    directory
}

/// A picture of an HTML part, as wide as that; kept beside its HTML.
fn photograph(name: &str, html: &str, width: usize, dark: bool) -> Picture {
    let directory = directory();
    let page = directory.join(format!("{name}.html"));
    let file = directory.join(format!("{name}.png"));
    std::fs::write(&page, html).expect("the page is written");
    // The profile is the browser's own affair, and several run at once.
    let profile = tempfile::tempdir().expect("a profile");
    let _ = std::fs::remove_file(&file);
    let mut command = Command::new(browser());
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"])
        .args(["--disable-dev-shm-usage", "--no-first-run", "--force-color-profile=srgb"])
        .arg(format!("--blink-settings=preferredColorScheme={}", u8::from(!dark)))
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--window-size={width},1100"))
        .arg(format!("--screenshot={}", file.display()))
        .arg(format!("file://{}", page.display()));
    let output = command.output().expect("the browser runs");
    assert!(file.exists(), "{}", String::from_utf8_lossy(&output.stderr));
    Picture::read(&file)
}

#[test]
fn every_email_fits_and_shows_its_bar() {
    // What is left of packs has a colour of its own.
    let (letter, _) = samples::letters().swap_remove(2);
    let packs = photograph("packs", &render(&TEMPLATES, &letter).html, 700, false);
    let bar = [[0xb8, 0x4a, 0x06], [0xdd, 0xe2, 0xea], [0x6e, 0xa3, 0xe6]];
    let bar = bar.map(|colour| packs.longest(colour));
    let sum: usize = bar.iter().sum();
    assert!(sum.abs_diff(486) <= 3, "{bar:?}");
    for (part, percent) in bar.into_iter().zip([64, 3, 33]) {
        assert!((part * 100).abs_diff(sum * percent) < 2 * 100, "{bar:?}");
    }
    let (letter, _) = samples::letters().swap_remove(5);
    let full = photograph("full", &render(&TEMPLATES, &letter).html, 700, false);
    assert!(full.longest([0xc2, 0x27, 0x1b]).abs_diff(486) <= 2, "the bar is full");
    assert!(!packs.is_cut_off() && !full.is_cut_off(), "the pages have room");
}

#[test]
fn emails_look_right_in_light_in_dark_and_on_a_phone() {
    let html = render(&TEMPLATES, &samples::warning()).html;
    let light = photograph("light", &html, 700, false);
    assert_eq!((light.width, light.height), (700, 1100));
    assert!(!light.is_cut_off(), "the page has room for the whole email");
    assert!(light.brightness() > 230, "{}", light.brightness());
    // 570 of 600: the bar fills 95 % of the 486 pixels inside the card.
    let (used, left) = (light.longest([0xb8, 0x4a, 0x06]), light.longest([0xdd, 0xe2, 0xea]));
    assert!((used + left).abs_diff(486) <= 2, "{used} + {left}");
    assert!((used * 100).abs_diff((used + left) * 95) <= 200, "{used} of {}", used + left);

    let dark = photograph("dark", &html, 700, true);
    assert!(dark.brightness() < 60, "{}", dark.brightness());
    assert_eq!(dark.longest([0xb8, 0x4a, 0x06]), 0, "colours of their own in the dark");
    let same = dark.longest([0xf2, 0x80, 0x1f]);
    assert!(same.abs_diff(used) <= 1, "the same bar: {same}");

    let phone = photograph("phone", &html, 360, false);
    assert_eq!(phone.width, 360);
    // Nothing sticks out on the right: the last column is background from top to bottom.
    let edge: Vec<_> = (0..phone.height).map(|y| phone.row(y)[359]).collect();
    let background = [[0xff, 0xff, 0xff], [0xf2, 0xf4, 0xf7], [0xe0, 0xe4, 0xea]];
    assert!(edge.iter().all(|pixel| background.contains(pixel)), "the email fits the phone");
    let phone_bar = phone.longest([0xb8, 0x4a, 0x06]) + phone.longest([0xdd, 0xe2, 0xea]);
    assert!(phone_bar.abs_diff(320) <= 2, "the bar is as wide as the text: {phone_bar}");
}
