//! The tabs of a browser. One of them is visible.

use fantoccini::wd::WindowHandle;
use serde_json::json;

use super::Browser;
use crate::support::with_timeout;

impl Browser {
    /// Opens another tab. This tab goes on in the background.
    pub async fn cover_tab(&self) -> CoveredTab {
        let here = with_timeout("this tab", self.client.window())
            .await
            .unwrap();
        let other = with_timeout("a tab", self.client.new_window(true))
            .await
            .unwrap();
        self.switch_to_tab(&here).await;
        // Without this setting, a page in the background counts as visible.
        let honest = json!({"enabled": false});
        self.devtools("Emulation.setFocusEmulationEnabled", honest)
            .await;
        self.bring_to_front(&other.handle).await;
        self.wait_until_true("return document.hidden").await;
        CoveredTab {
            covered: here,
            covering: other.handle,
        }
    }

    /// Closes the other tab, so that this tab is visible again.
    pub async fn uncover_tab(
        &self,
        CoveredTab {
            covered: here,
            covering: other,
        }: CoveredTab,
    ) {
        self.switch_to_tab(&other).await;
        with_timeout("the tab to close", self.client.close_window())
            .await
            .unwrap();
        self.switch_to_tab(&here).await;
        self.bring_to_front(&here).await;
        self.wait_until_true("return !document.hidden").await;
    }

    /// Returns the number of tabs.
    pub async fn tab_count(&self) -> usize {
        let tabs = with_timeout("the tabs", self.client.windows());
        tabs.await.unwrap().len()
    }

    async fn switch_to_tab(&self, tab: &WindowHandle) {
        let turning = self.client.switch_to_window(tab.clone());
        with_timeout("the tab", turning).await.unwrap();
    }

    /// Brings a tab to the front.
    async fn bring_to_front(&self, tab: &WindowHandle) {
        let target = json!({"targetId": String::from(tab.clone())});
        self.devtools("Target.activateTarget", target).await;
    }
}

/// A background tab, and the tab in front of it.
pub struct CoveredTab {
    covered: WindowHandle,
    covering: WindowHandle,
}
