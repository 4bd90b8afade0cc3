//! A run as a page: one file that loads no other.

mod drawing;
mod layout;
mod page;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use self::layout::Layout;
pub use self::page::Page;
use super::wording;

const STYLE: &str = include_str!("html/style.css");

impl Page<'_> {
    /// The text of the page.
    pub fn to_html(&self) -> String {
        let title = self
            .failure
            .map_or("Nothing is wrong".to_owned(), |failure| sentence(&failure.oracle.to_string()));
        let layout = Layout::of(self.scenario, self.timeline);
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (title) " · seed " (self.scenario.seed) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    header { (self.summary(&title)) }
                    main {
                        (legend())
                        (drawing::draw(&layout, self))
                    }
                    section { (self.steps()) }
                }
            }
        };
        page.into_string()
    }

    fn summary(&self, title: &str) -> Markup {
        html! {
            p.origin { "coscribe-fuzz · " (self.scenario) }
            h1.wrong[self.failure.is_some()] { (title) }
            @if let Some(failure) = self.failure {
                p { "After step " (failure.step) ", at " (failure.time) " ms:" }
                pre.failure { (failure.detail) }
            }
            p.command { "Again: " code { (self.replay) } }
        }
    }

    fn steps(&self) -> Markup {
        html! {
            h2 { "Steps" }
            ol.steps start="0" {
                @for (number, step) in self.scenario.steps.iter().enumerate() {
                    li.last[self.failure.is_some_and(|failure| failure.step == number)] {
                        span.pause { @if step.after > 0 { "+" (step.after) " ms" } }
                        code { (wording::event(&step.event)) }
                    }
                }
                li.last[self.failure.is_some_and(|failure| failure.step >= self.scenario.steps.len())] {
                    span.pause {}
                    code { "heal, then compare" }
                }
            }
        }
    }
}

/// The meaning of the signs. Kinds of messages can be switched off.
fn legend() -> Markup {
    html! {
        div.legend {
            @for (class, name) in [("sync", "sync"), ("update", "updates"), ("awareness", "awareness"), ("status", "acknowledgements")] {
                label {
                    input type="checkbox" id={ "show-" (class) } checked;
                    svg width="34" height="12" { path.message.(class) d="M1 6H26" {} path.head.(class) d="M33 6l-8 -4v8z" {} }
                    (name)
                }
            }
            span {
                svg width="34" height="12" { path.message.update.lost d="M1 6H22" {} path.cross d="M19 2l8 8m0 -8l-8 8" {} }
                "lost, or still on its way"
            }
            span { svg width="14" height="14" { circle.edit cx="7" cy="7" r="5" {} } "edit" }
            span { svg width="14" height="14" { circle.cursor cx="7" cy="7" r="4" {} } "cursor" }
            span { svg width="14" height="14" { path.fault d="M7 1l6 6l-6 6l-6 -6z" {} } "fault" }
            span { svg width="34" height="14" { path.lane d="M1 7H33" {} path.lane.offline d="M1 7H33" {} } "not connected, or cut off" }
            span { svg width="34" height="14" { path.lane.stalled d="M1 7H33" {} } "does not read" }
            label { input type="checkbox" id="show-labels" checked; "names of syncs and updates" }
        }
    }
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}
