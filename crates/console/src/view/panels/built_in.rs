//! The dashboards of the demo. The front end has their titles by these ids.

use super::panel::{Aggregate, Kind, NewPanel, Panel, StoredDashboard};

const MINUTE_MS: i64 = 60_000;

pub(super) fn dashboards() -> Vec<StoredDashboard> {
    let minute = |id, title, topic, aggregate| base(id, title, topic, aggregate).window(MINUTE_MS);
    vec![
        StoredDashboard {
            id: "demo-invoices".to_owned(),
            title: "Invoices".to_owned(),
            panels: vec![
                base("invoices-rate", "Invoices a second", "invoices", Aggregate::Rate)
                    .window(5_000),
                minute("invoices-revenue", "Revenue in a minute", "invoices", Aggregate::Sum)
                    .field("value.TotalAmount")
                    .unit("EUR"),
                minute("invoices-revenue-by-store", "Revenue by store", "invoices", Aggregate::Sum)
                    .field("value.TotalAmount")
                    .unit("EUR")
                    .by("value.StoreID"),
                minute("invoices-top-products", "Top products", "inventory", Aggregate::Count)
                    .by("value.ItemDescription"),
                minute("invoices-basket", "Basket, 95 of 100 below", "invoices", Aggregate::P95)
                    .field("value.TotalAmount")
                    .unit("EUR"),
                minute("loyalty-rewards", "Points earned in a minute", "loyalty", Aggregate::Sum)
                    .field("value.EarnedPoints"),
                minute("loyalty-sms", "SMS sent in a minute", "sms", Aggregate::Count)
                    .kind(Kind::Number),
                minute(
                    "invoices-deliveries",
                    "Deliveries by country",
                    "shipments",
                    Aggregate::Count,
                )
                .by("value.Address.Country"),
            ],
        },
        StoredDashboard {
            id: "demo-flights".to_owned(),
            title: "Flights".to_owned(),
            panels: vec![
                minute("flights-in-the-air", "In the air", "flights", Aggregate::Last)
                    .field("value.inTheAir"),
                minute("flights-departures", "Departures in a minute", "flights", Aggregate::Count)
                    .filter("value.event == \"departed\""),
                minute("flights-delay", "Delay at departure, average", "flights", Aggregate::Avg)
                    .field("value.delay")
                    .filter("value.event == \"departed\"")
                    .unit("min"),
                minute("flights-delay-by-airline", "Delay by airline", "flights", Aggregate::Avg)
                    .field("value.delay")
                    .filter("value.event == \"landed\"")
                    .unit("min")
                    .window(5 * MINUTE_MS)
                    .by("value.airline"),
                minute(
                    "flights-cancelled",
                    "Cancelled in five minutes",
                    "flights",
                    Aggregate::Count,
                )
                .filter("value.event == \"cancelled\"")
                .window(5 * MINUTE_MS)
                .kind(Kind::Number),
                minute("flights-by-airport", "By airport", "flights", Aggregate::Count)
                    .by("value.origin")
                    .window(5 * MINUTE_MS),
            ],
        },
    ]
}

fn base(id: &str, title: &str, topic: &str, aggregate: Aggregate) -> Panel {
    Panel {
        id: id.to_owned(),
        panel: NewPanel {
            title: title.to_owned(),
            topic: topic.to_owned(),
            field: None,
            aggregate,
            filter: None,
            group_by: None,
            top: 10,
            window_ms: MINUTE_MS,
            kind: Kind::Line,
            unit: String::new(),
        },
    }
}

impl Panel {
    fn field(mut self, path: &str) -> Self {
        self.panel.field = Some(path.to_owned());
        self
    }

    fn filter(mut self, filter: &str) -> Self {
        self.panel.filter = Some(filter.to_owned());
        self
    }

    fn by(mut self, path: &str) -> Self {
        (self.panel.group_by, self.panel.kind) = (Some(path.to_owned()), Kind::Bars);
        self
    }

    fn unit(mut self, unit: &str) -> Self {
        self.panel.unit = unit.to_owned();
        self
    }

    fn window(mut self, ms: i64) -> Self {
        self.panel.window_ms = ms;
        self
    }

    fn kind(mut self, kind: Kind) -> Self {
        self.panel.kind = kind;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_panel_makes_sense_and_has_an_id_of_its_own() {
        let panels: Vec<Panel> = dashboards().into_iter().flat_map(|one| one.panels).collect();
        for panel in &panels {
            super::super::check("x", &panel.panel).unwrap();
        }
        let ids: std::collections::BTreeSet<_> = panels.iter().map(|panel| &panel.id).collect();
        assert_eq!(ids.len(), panels.len());
    }
}
