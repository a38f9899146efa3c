//! Tabs of a browser, of which one is seen.

use fantoccini::wd::WindowHandle;
use serde_json::json;

use super::Browser;
use crate::support::soon;

impl Browser {
    /// Opens another tab before this one, which goes on unseen.
    pub async fn hides(&self) -> HiddenBy {
        let here = soon("this tab", self.client.window()).await.unwrap();
        let other = soon("a tab", self.client.new_window(true)).await.unwrap();
        self.turns_to(&here).await;
        // Without this a page is told that it is seen, whatever is before it.
        let honest = json!({"enabled": false});
        self.devtools("Emulation.setFocusEmulationEnabled", honest)
            .await;
        self.is_before(&other.handle).await;
        self.until_true("return document.hidden").await;
        HiddenBy {
            here,
            other: other.handle,
        }
    }

    /// Closes that other tab, so that this one is seen again.
    pub async fn shows(&self, HiddenBy { here, other }: HiddenBy) {
        self.turns_to(&other).await;
        soon("the tab to close", self.client.close_window())
            .await
            .unwrap();
        self.turns_to(&here).await;
        self.is_before(&here).await;
        self.until_true("return !document.hidden").await;
    }

    /// How many there are.
    pub async fn tabs(&self) -> usize {
        let tabs = soon("the tabs", self.client.windows());
        tabs.await.unwrap().len()
    }

    async fn turns_to(&self, tab: &WindowHandle) {
        let turning = self.client.switch_to_window(tab.clone());
        soon("the tab", turning).await.unwrap();
    }

    /// Brings a tab to where it is seen.
    async fn is_before(&self, tab: &WindowHandle) {
        let target = json!({"targetId": String::from(tab.clone())});
        self.devtools("Target.activateTarget", target).await;
    }
}

/// A tab that cannot be seen, and the one that is before it.
pub struct HiddenBy {
    here: WindowHandle,
    other: WindowHandle,
}
