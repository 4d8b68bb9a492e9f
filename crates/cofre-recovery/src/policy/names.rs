//! Words of the published contract that policies are made of.

use serde::{Deserialize, Serialize};

/// A fixed set of words. They are written as published and read without regard to letter case.
pub(crate) trait Word: Copy + 'static {
    /// All of them, in their published order.
    const ALL: &'static [(&'static str, Self)];

    /// The one that is written so.
    fn find(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, word)| *word)
    }

    /// All of them, for messages.
    fn list() -> String {
        Self::ALL.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }
}

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$of:meta])* $word:ident),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$of])* $word),+
        }

        impl $name {
            /// Its published name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$word => stringify!($word)),+
                }
            }
        }

        impl Word for $name {
            const ALL: &'static [(&'static str, Self)] = &[$((stringify!($word), Self::$word)),+];
        }
    };
}

words! {
    /// How often backups run.
    Frequency {
        /// Every day.
        Daily,
        /// On some days of the week.
        Weekly,
    }
}

words! {
    /// A day of the week.
    DayOfWeek {
        /// The first of the published order.
        Sunday,
        /// The second.
        Monday,
        /// The third.
        Tuesday,
        /// The fourth.
        Wednesday,
        /// The fifth.
        Thursday,
        /// The sixth.
        Friday,
        /// The last.
        Saturday,
    }
}

words! {
    /// Which of the days of one name in a month.
    WeekOfMonth {
        /// Days 1 to 7.
        First,
        /// Days 8 to 14.
        Second,
        /// Days 15 to 21.
        Third,
        /// Days 22 to 28.
        Fourth,
        /// The last seven days.
        Last,
    }
}

words! {
    /// A month.
    Month {
        /// 1.
        January,
        /// 2.
        February,
        /// 3.
        March,
        /// 4.
        April,
        /// 5.
        May,
        /// 6.
        June,
        /// 7.
        July,
        /// 8.
        August,
        /// 9.
        September,
        /// 10.
        October,
        /// 11.
        November,
        /// 12.
        December,
    }
}

words! {
    /// What a retention is counted in.
    DurationUnit {
        /// Days.
        Days,
        /// Weeks of seven days.
        Weeks,
        /// Months of the calendar.
        Months,
        /// Years of the calendar.
        Years,
    }
}

words! {
    /// How a month's days are named.
    DayFormat {
        /// By their number.
        Daily,
        /// By week and day of the week.
        Weekly,
    }
}

impl DayOfWeek {
    /// The day of the week of a date.
    #[must_use]
    pub fn of(date: jiff::civil::Date) -> Self {
        match date.weekday() {
            jiff::civil::Weekday::Sunday => Self::Sunday,
            jiff::civil::Weekday::Monday => Self::Monday,
            jiff::civil::Weekday::Tuesday => Self::Tuesday,
            jiff::civil::Weekday::Wednesday => Self::Wednesday,
            jiff::civil::Weekday::Thursday => Self::Thursday,
            jiff::civil::Weekday::Friday => Self::Friday,
            jiff::civil::Weekday::Saturday => Self::Saturday,
        }
    }
}

impl WeekOfMonth {
    /// Whether a date lies in it.
    #[must_use]
    pub fn holds(self, date: jiff::civil::Date) -> bool {
        let day = date.day();
        match self {
            Self::First => day <= 7,
            Self::Second => (8..=14).contains(&day),
            Self::Third => (15..=21).contains(&day),
            Self::Fourth => (22..=28).contains(&day),
            Self::Last => day > date.days_in_month() - 7,
        }
    }
}

impl Month {
    /// Whether a date lies in it.
    #[must_use]
    pub fn holds(self, date: jiff::civil::Date) -> bool {
        let number = usize::from(date.month().unsigned_abs());
        Self::ALL.get(number - 1).is_some_and(|(_, month)| *month == self)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn dates_lie_where_they_should() {
        let sunday = date(2026, 11, 29);
        assert_eq!(DayOfWeek::of(sunday), DayOfWeek::Sunday);
        assert_eq!(DayOfWeek::of(date(2026, 11, 25)), DayOfWeek::Wednesday);
        let weeks = |d| -> Vec<_> {
            WeekOfMonth::ALL.iter().filter(|(_, w)| w.holds(d)).map(|(name, _)| *name).collect()
        };
        assert_eq!(weeks(date(2026, 11, 7)), ["First"]);
        assert_eq!(weeks(date(2026, 11, 8)), ["Second"]);
        assert_eq!(weeks(date(2026, 11, 21)), ["Third"]);
        assert_eq!(weeks(date(2026, 11, 24)), ["Fourth", "Last"]);
        assert_eq!(weeks(sunday), ["Last"]);
        assert_eq!(weeks(date(2026, 2, 22)), ["Fourth", "Last"], "February has four of each");
        assert!(Month::February.holds(date(2024, 2, 29)) && !Month::March.holds(date(2024, 2, 29)));
        assert!(Month::December.holds(sunday.checked_add(jiff::Span::new().days(2)).unwrap()));
    }

    #[test]
    fn words_are_read_in_any_case_and_written_as_published() {
        assert_eq!(DayOfWeek::find("sunday"), Some(DayOfWeek::Sunday));
        assert_eq!(DayOfWeek::find("Sun"), None);
        assert_eq!(serde_json::to_value(WeekOfMonth::Last).unwrap(), "Last");
        assert_eq!(Frequency::list(), "Daily, Weekly");
    }
}
