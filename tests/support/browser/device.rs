//! The devices that show the pages.

use serde_json::{Value, json};

use super::Browser;

/// Without these flags, Chromium contacts hosts of its maker, and does not start as root or in a
/// container. Chromium ends with the driver, whose pipe it holds.
const CHROMIUM_FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
    MOUSE_FLAG,
];

/// The test machine has no mouse, and pages check for one. Touch devices set their own flag.
const MOUSE_FLAG: &str = "--blink-settings=primaryHoverType=2,availableHoverTypes=2,\
     primaryPointerType=4,availablePointerTypes=4";

/// A device and its settings.
#[derive(Clone, Copy)]
pub struct Device {
    size: (u32, u32),
    is_phone: bool,
    language: &'static str,
}

impl Device {
    pub const fn desktop() -> Self {
        Self {
            size: (1200, 800),
            is_phone: false,
            language: "en",
        }
    }

    /// A touch device.
    pub const fn phone() -> Self {
        Self {
            size: (390, 844),
            is_phone: true,
            language: "en",
        }
    }

    /// Sets the preferred language.
    pub const fn with_language(self, language: &'static str) -> Self {
        Self { language, ..self }
    }

    pub async fn open(self) -> Browser {
        let browser = Browser::launch(self.chrome_options()).await;
        if !self.is_phone {
            // The size of the page without the window's frame.
            let (width, height) = self.size;
            let metrics =
                json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
            browser
                .devtools("Emulation.setDeviceMetricsOverride", metrics)
                .await;
        }
        browser.set_color_scheme("light").await;
        browser
    }

    /// Returns the options of ChromeDriver.
    fn chrome_options(self) -> Value {
        let (width, height) = self.size;
        let mut options = json!({
            "args": CHROMIUM_FLAGS,
            "prefs": {"intl.accept_languages": self.language},
        });
        if self.is_phone {
            options["mobileEmulation"] = json!({
                "deviceMetrics":
                    {"width": width, "height": height, "pixelRatio": 1, "touch": true, "mobile": true},
            });
        }
        options
    }
}

impl Browser {
    /// Sets the colour scheme, and turns animations off, so that all changes are visible at once.
    pub async fn set_color_scheme(&self, scheme: &str) {
        let features = json!([
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]);
        self.devtools(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        )
        .await;
    }
}
