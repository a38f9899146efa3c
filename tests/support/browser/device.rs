//! What somebody looks at the pages with.

use serde_json::{Value, json};

use super::Browser;

/// Without these it looks for its maker's hosts, and, as root or in a container, does not start.
/// It ends with the driver, whose pipe it holds.
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

/// The machine of the tests has none, and pages ask whether there is one. (What is touched says so.)
const MOUSE_FLAG: &str = "--blink-settings=primaryHoverType=2,availableHoverTypes=2,\
     primaryPointerType=4,availablePointerTypes=4";

/// A device, and how it is set up.
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

    /// One that is touched.
    pub const fn phone() -> Self {
        Self {
            size: (390, 844),
            is_phone: true,
            language: "en",
        }
    }

    /// What it asks pages for.
    pub const fn with_language(self, language: &'static str) -> Self {
        Self { language, ..self }
    }

    pub async fn open(self) -> Browser {
        let browser = Browser::launch(self.chrome_options()).await;
        if !self.is_phone {
            // Of what is seen of a page, without the frame of a window.
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

    /// Of ChromeDriver.
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
    /// Whether pages are light or dark. Nothing moves in either, so that what is seen is there at
    /// once.
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
