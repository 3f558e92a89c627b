//! A CRM with HubSpot's objects API, its state on disk.
