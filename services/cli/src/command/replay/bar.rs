use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use services_replay::{Progress, ProgressSink, ReadModel, Stage};

/// Where nobody looks at a terminal, a line is written so often.
const EVERY: Duration = Duration::from_secs(5);

/// Shows how far a rebuild is: a bar with rate and remaining time on a terminal,
/// plain lines otherwise. Both on standard error.
pub(super) fn shown(read_model: ReadModel) -> (ProgressSink, ProgressBar) {
    if std::io::stderr().is_terminal() {
        let bar = ProgressBar::new(0);
        let shown = bar.clone();
        let stage = Mutex::new(None);
        let sink = ProgressSink::new(move |progress| on_bar(&shown, &stage, read_model, progress));
        (sink, bar)
    } else {
        let last = Mutex::new(None);
        let sink = ProgressSink::new(move |progress| in_lines(&last, read_model, progress));
        (sink, ProgressBar::hidden())
    }
}

fn on_bar(
    bar: &ProgressBar,
    stage: &Mutex<Option<Stage>>,
    read_model: ReadModel,
    progress: Progress,
) {
    let mut stage = stage
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if *stage != Some(progress.stage) {
        *stage = Some(progress.stage);
        let template = if progress.total == 0 {
            "{msg} {spinner} {elapsed}"
        } else {
            "{msg} [{bar:30}] {human_pos}/{human_len} records, {per_sec}, {eta} left"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(format!(
            "{:<16} {:<12}",
            read_model.name(),
            progress.stage.as_str()
        ));
        bar.enable_steady_tick(Duration::from_millis(200));
        bar.reset();
    }
    bar.set_length(progress.total);
    bar.set_position(progress.done);
}

struct Line {
    stage: Stage,
    begun: Instant,
    written: Instant,
}

fn in_lines(last: &Mutex<Option<Line>>, read_model: ReadModel, progress: Progress) {
    let mut last = last
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let now = Instant::now();
    let line = match last.as_mut().filter(|line| line.stage == progress.stage) {
        Some(line) => line,
        // A stage that is over soon is not worth a line.
        None => last.insert(Line {
            stage: progress.stage,
            begun: now,
            written: now,
        }),
    };
    if now.duration_since(line.written) < EVERY || progress.total == 0 {
        return;
    }
    line.written = now;
    eprintln!(
        "{}",
        told(read_model, progress, now.duration_since(line.begun))
    );
}

fn told(read_model: ReadModel, progress: Progress, elapsed: Duration) -> String {
    let rate = progress.done as f64 / elapsed.as_secs_f64().max(0.001);
    let left = progress.total.saturating_sub(progress.done) as f64 / rate.max(0.001);
    format!(
        "{read_model}: {}, {} of {} records, {rate:.0} a second, {left:.0} s left",
        progress.stage.as_str(),
        progress.done,
        progress.total,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_rate_and_remaining_time() {
        let progress = Progress {
            stage: Stage::Replaying,
            done: 2_000,
            total: 10_000,
        };
        assert_eq!(
            told(ReadModel::Audit, progress, Duration::from_secs(4)),
            "audit: replaying, 2000 of 10000 records, 500 a second, 16 s left"
        );
    }
}
