//! Tabs of a browser, of which one is seen.

use fantoccini::wd::WindowHandle;
use serde_json::json;

use super::Browser;
use crate::support::with_timeout;

impl Browser {
    /// Opens another tab before this one, which goes on unseen.
    pub async fn cover_tab(&self) -> CoveredTab {
        let here = with_timeout("this tab", self.client.window())
            .await
            .unwrap();
        let other = with_timeout("a tab", self.client.new_window(true))
            .await
            .unwrap();
        self.switch_to_tab(&here).await;
        // Without this a page is told that it is seen, whatever is before it.
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

    /// Closes that other tab, so that this one is seen again.
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

    /// How many there are.
    pub async fn tab_count(&self) -> usize {
        let tabs = with_timeout("the tabs", self.client.windows());
        tabs.await.unwrap().len()
    }

    async fn switch_to_tab(&self, tab: &WindowHandle) {
        let turning = self.client.switch_to_window(tab.clone());
        with_timeout("the tab", turning).await.unwrap();
    }

    /// Brings a tab to where it is seen.
    async fn bring_to_front(&self, tab: &WindowHandle) {
        let target = json!({"targetId": String::from(tab.clone())});
        self.devtools("Target.activateTarget", target).await;
    }
}

/// A tab that cannot be seen, and the one that is before it.
pub struct CoveredTab {
    covered: WindowHandle,
    covering: WindowHandle,
}
