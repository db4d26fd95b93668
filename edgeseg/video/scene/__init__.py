"""What a driver needs of the labels: free space, people, somebody on the road ahead."""
