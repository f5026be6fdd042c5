"""What watches a registry: its metrics, the dashboard, the alerts, the page about them."""
