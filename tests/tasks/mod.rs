mod group_send;
