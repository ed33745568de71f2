"""The platform: accounts, datasets, projects, jobs and their results, as pages and as an API."""
